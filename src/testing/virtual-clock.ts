/** The virtual clock, where tests and the simulator look for it. */
export { NodeClock, VirtualClock, type VirtualClockOptions } from '../adapters/memory/virtual-clock.ts'
