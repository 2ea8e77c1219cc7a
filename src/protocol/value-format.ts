/**
 * What the check, the scan and the JSON forms of values share. The numbers are on the wire and on disk: never change one.
 */

/** See values.ts. */
export type Value = null | boolean | number | string | bigint | Date | Uint8Array | Value[] | { [key: string]: Value }

/** msgpack's own timestamp, type -1. */
export const dateExtension = 0xff
/** `B`, msgpackr's: a bigint that 64 bits cannot hold, two's complement, big-endian. */
export const bigintExtension = 0x42
export const maxBigintBits = 1_024
/** Arrays and objects inside each other. */
export const maxDepth = 100
/** Of one value, encoded. Other limits (a record, a message) are far below; this one ends a walk that would never end. */
export const maxValueBytes = 64 * 1_024 * 1_024

/**
 * What a value from outside may weigh: about what it takes to read it, so that one message never blocks a process for long. Bytes are no
 * measure: a megabyte of empty objects takes fifty times as long as one text of that length.
 */
export const maxWeight = 131_072
/** Of a text, number or the like: 1. Of an array, an object, bytes, a date or a large bigint, besides what is in it. */
export const partWeight = 4
/** Of a key of an object. */
export const keyWeight = 8

/** `$.items[3].price`: the way from a value's root by the keys and indexes of a trail. */
export function pathOf(trail: readonly (string | number)[]): string {
  let path = '$'
  for (const step of trail) {
    if (typeof step === 'number') path += `[${step}]`
    else path += /^[A-Za-z_$][\w$]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
  }
  return path
}
