import { epoch, incarnation, partitionId, seq } from '../../src/protocol/ids.ts'
import { linkBytes, stateHashBytes, type CommitRecord } from '../../src/protocol/record.ts'

/** A record of nothing, for tests to put something into. */
export const bareCommit: CommitRecord = {
  kind: 'commit',
  partition: partitionId(0),
  epoch: epoch(1),
  incarnation: incarnation('i'),
  prev: new Uint8Array(linkBytes),
  time: 0,
  published: seq(0),
  stateHash: new Uint8Array(stateHashBytes),
  sessions: [],
  ended: [],
  turns: [],
  outputs: [],
}
