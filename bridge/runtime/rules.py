"""Rules made ready: SQL compiled, actions built; what cannot be run is refused here, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from bridge.actions import catalogue as actions
from bridge.actions.base import Action, Services, UnsupportedActionError
from bridge.registry import RuleDefinition
from bridge.sql import CompiledRule, Context, RuleSqlError, compile_rule

log = structlog.get_logger()


@dataclass(frozen=True)
class Rule:
    """A rule that can run."""

    definition: RuleDefinition
    compiled: CompiledRule
    actions: tuple[Action, ...]
    error_action: Action | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name


@dataclass(frozen=True)
class RuleSet:
    """The rules that run, and those that do not with the reason."""

    rules: tuple[Rule, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def load(definitions: list[RuleDefinition], services: Services, context: Context, before: RuleSet) -> RuleSet:
    """Make rules ready; those that did not change since ``before`` stay as they are."""
    known = {rule.name: rule for rule in before.rules}
    rules, refused = [], {}
    for definition in definitions:
        same = known.get(definition.name)
        if same and same.definition == definition:
            rules.append(same)
            continue
        try:
            rules.append(_build(definition, services, context))
            log.info("rule_loaded", rule=definition.name, sql=definition.sql)
        except (RuleSqlError, UnsupportedActionError, ValueError) as error:
            refused[definition.name] = str(error)
            if before.refused.get(definition.name) != str(error):
                log.error(  # noqa: TRY400  # the reason says all
                    "rule_refused", rule=definition.name, reason=str(error), sql=definition.sql
                )
    return RuleSet(tuple(rules), refused)


def _build(definition: RuleDefinition, services: Services, context: Context) -> Rule:
    compiled = compile_rule(definition.sql, version=definition.sql_version, context=context)
    built = tuple(actions.build(action, services, compiled) for action in definition.actions)
    last_resort = None
    if definition.error_action:
        last_resort = actions.build(definition.error_action, services, compiled, is_error_action=True)
    return Rule(definition, compiled, built, last_resort)
