/**
 * Which nodes look dead: an observer's judgement of the leases that nodes renew in the registry (O5). Who *is* dead the registry
 * decides, by a CAS on the lease against the revision that is given here: a node that has renewed meanwhile lives.
 *
 * LW1. Only the observer's own monotonic clock is used. A lease runs from when this observer first saw its revision.
 * LW2. A lease that did not change for a whole term has expired.
 * LW3. What the observer did not see proves nothing: after a failure of its watch, and when it was itself stopped (more than `stallMs`
 *     between two judgements), all leases run anew.
 * LW4. Registry away, nobody dies: a judgement counts only if the registry answered this observer within `answerMs`, while it was not
 *     stopped itself. After a longer silence all leases run anew from its first answer, because nobody could renew meanwhile.
 * LW5. If more than half of the leases have expired together, the observer waits one more term before it believes it: more likely
 *     than the death of most is a cause that they share. The observer's own lease is one of the leases.
 * LW6. A node without a connection cannot renew, and is not waited for to the end of its term: it has expired when it renewed nothing for
 *     `quietMs`, and was found to be absent twice since, `absentMs` apart; one that lost its connection and has another one by then
 *     lives. A node that is slow or stopped has its connection, and its whole term. Not while the observer's own connection is new, or its
 *     watch (LW3), nor when the registry has just been away, as where its server hung: what cut it off may have cut off others; for a term it
 *     waits for theirs, and what it found before counts no more. Its own stall cut off nobody.
 *
 * Pure: `now` is monotonic, in ms. The caller judges on a tick, several times in a term.
 */

export interface LeaseSettings {
  /** A lease that is not renewed for this long has expired. At least two intervals of renewal and `answerMs`. */
  readonly termMs: number
  /** A lease that is not renewed for this long may be of a node without a connection (LW6). */
  readonly quietMs: number
  /** Least time between the two times that it is found so: more than it takes to connect again. */
  readonly absentMs: number
  /** Longest time between two judgements that is no stall of the observer. */
  readonly stallMs: number
  /** Longest time without an answer in which the registry is not away. */
  readonly answerMs: number
}

export interface LeaseWatch {
  readonly observed: ReadonlyMap<string, Observation>
  /** Of the last judgement; undefined before the first. */
  readonly judgedAt: number | undefined
  /** When the registry last answered this observer; undefined before it did. */
  readonly answeredAt: number | undefined
  /** Since when most have expired together (LW5). */
  readonly massSince: number | undefined
  /** Since when the observer's own connection has held (LW6). */
  readonly steadySince: number | undefined
}

interface Observation {
  readonly revision: number
  /** When it was first seen. */
  readonly seen: number
  /** From when on it runs: later than that where something may have been missed (LW3). */
  readonly since: number
  /** Of this revision's node: when it was first found to be absent, and last. */
  readonly absent?: { readonly first: number; readonly last: number }
}

/** A lease to be marked dead, if its revision is still this one. */
export interface Verdict {
  readonly key: string
  readonly revision: number
}

export const beginLeaseWatch: LeaseWatch = {
  observed: new Map(),
  judgedAt: undefined,
  answeredAt: undefined,
  massSince: undefined,
  steadySince: undefined,
}

/** A lease was read, or seen in a watch. An older revision than the known one is old news and changes nothing. */
export function observeLease(watch: LeaseWatch, key: string, revision: number, now: number): LeaseWatch {
  const known = watch.observed.get(key)
  if (known !== undefined && known.revision >= revision) return watch
  return { ...watch, observed: new Map(watch.observed).set(key, { revision, seen: now, since: now }) }
}

/** A lease that is gone, marked dead, or given back: no longer judged. */
export function dropLease(watch: LeaseWatch, key: string): LeaseWatch {
  if (!watch.observed.has(key)) return watch
  const observed = new Map(watch.observed)
  observed.delete(key)
  return { ...watch, observed }
}

/** The registry answered a read or a write of this observer. */
export function registryAnswered(watch: LeaseWatch, now: number, settings: LeaseSettings): LeaseWatch {
  const { answeredAt, judgedAt } = watch
  const wasAway = answeredAt === undefined || now - answeredAt > settings.answerMs
  if (!wasAway) return { ...watch, steadySince: watch.steadySince ?? now, answeredAt: now }
  // What looks like it may have been the observer's own stall.
  const stalled = judgedAt !== undefined && now - judgedAt > settings.stallMs
  if (!stalled) return { ...cutOff(watch, now), answeredAt: now }
  return { ...restarted(watch, now), steadySince: watch.steadySince ?? now, answeredAt: now }
}

/** The watch failed or was opened anew (LW3). */
export const watchRestarted = (watch: LeaseWatch, now: number): LeaseWatch => cutOff(watch, now)

/** A lease whose node may be without a connection (LW6). */
export interface QuietLease extends Verdict {
  readonly quietForMs: number
  /** Whether it was found absent: it is worth while to ask again soon, since a question may be lost. */
  readonly foundAbsent: boolean
}

/** Leases whose nodes may be asked after now, the longest quiet first (LW6). */
export function quietLeases(watch: LeaseWatch, now: number, settings: LeaseSettings): readonly QuietLease[] {
  if (watch.steadySince === undefined || now - watch.steadySince < settings.termMs) return []
  return [...watch.observed]
    .filter(([, { seen }]) => now - seen >= settings.quietMs)
    .map(([key, { revision, seen, absent }]) => {
      return { key, revision, quietForMs: now - seen, foundAbsent: absent !== undefined }
    })
    .toSorted((a, b) => b.quietForMs - a.quietForMs)
}

/** A node that was asked after has no connection. Of another revision than the known one it is old news. */
export function foundAbsent(watch: LeaseWatch, { key, revision }: Verdict, now: number): LeaseWatch {
  const known = watch.observed.get(key)
  if (known === undefined || known.revision !== revision) return watch
  const absent = { first: known.absent?.first ?? now, last: now }
  return { ...watch, observed: new Map(watch.observed).set(key, { ...known, absent }) }
}

/** The leases that are to be marked dead now. The same ones come again until they are observed anew or dropped. */
export function judgeLeases(
  watch: LeaseWatch,
  now: number,
  settings: LeaseSettings,
): readonly [LeaseWatch, readonly Verdict[]] {
  const { judgedAt, answeredAt } = watch
  const judged = { ...watch, judgedAt: now }
  if (judgedAt !== undefined && now - judgedAt > settings.stallMs) {
    // Who does not listen hears no answer: that silence was the observer's own.
    const heard = answeredAt === undefined ? undefined : Math.min(now, answeredAt + now - judgedAt)
    return [{ ...restarted(judged, now), answeredAt: heard }, []]
  }
  if (answeredAt === undefined || now - answeredAt > settings.answerMs) return [judged, []]
  const expired = [...watch.observed]
    .filter(([, { since, absent }]) => {
      return now - since >= settings.termMs || (absent !== undefined && absent.last - absent.first >= settings.absentMs)
    })
    .map(([key, { revision }]) => ({ key, revision }))
  if (expired.length * 2 <= watch.observed.size) return [{ ...judged, massSince: undefined }, expired]
  const massSince = watch.massSince ?? now
  return [{ ...judged, massSince }, now - massSince >= settings.termMs ? expired : []]
}

function restarted(watch: LeaseWatch, now: number): LeaseWatch {
  const observed = new Map([...watch.observed].map(([key, seen]) => [key, { ...seen, since: now }]))
  return { ...watch, observed, massSince: undefined }
}

/** What was found before does not count (LW6). */
function cutOff(watch: LeaseWatch, now: number): LeaseWatch {
  const found = [...watch.observed]
  const observed = new Map(found.map(([key, { revision, seen }]) => [key, { revision, seen, since: now }]))
  return { ...watch, observed, massSince: undefined, steadySince: now }
}
