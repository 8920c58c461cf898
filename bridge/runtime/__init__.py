"""The running bridge: takes messages from a broker, applies the rules, acknowledges what was taken."""
