import { HoldfastError } from '../protocol/errors.ts'

/**
 * What the server does not let this user ask. To whoever makes a call it is `INVALID`, at once; what runs by itself asks again, since
 * permissions are given and taken while it runs.
 */
export class Denied extends HoldfastError {
  constructor(reason: string) {
    super('INVALID', reason)
  }
}
