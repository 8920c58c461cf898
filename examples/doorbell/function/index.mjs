// What a rule calls. Node.js is the one on PATH; ministack has no AWS SDK for it, so a function brings its own.
export const handler = async ({ door }) => {
  if (typeof door !== "string") throw new Error("a ring without a door");
  console.log(`ding dong at ${door}`);
  return { door, node: process.version };
};
