/** Host functions of every name: what a guest that never calls one is satisfied with. */
const descriptor = { value: () => null, configurable: true, enumerable: true, writable: true };

export const anyFunctions = new Proxy(
  {},
  { getOwnPropertyDescriptor: () => descriptor, get: () => descriptor.value },
);
