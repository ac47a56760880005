// Replaces `react-style-singleton`: see vite.config.js.
const noop = () => {};
export const styleSingleton = () => () => null;
export const styleHookSingleton = () => noop;
export const stylesheetSingleton = () => ({ add: noop, remove: noop });
