import { describe, expect, it } from 'vitest'
import { wanted } from '../../bench/options.ts'
import type { Scene } from '../../bench/scene.ts'

const scene = (peers: boolean): Scene => ({ name: 'a', figures: {}, peers, run: async () => {} })

describe('what is measured', () => {
  it('is everything but the peers where nothing is said', () => {
    expect(wanted({ only: [] }, scene(false), 'commands.w64')).toBe(true)
    expect(wanted({ only: [] }, scene(true), 'redis.commands.w256')).toBe(false)
    expect(wanted({ only: [], peers: true }, scene(true), 'redis.commands.w256')).toBe(true)
  })

  it.each([
    ['commands.w64', 'commands.w64', true],
    ['commands', 'commands.w64', true],
    ['commands.w6', 'commands.w64', false],
    ['commands.w64', 'embedded.commands.w64', false],
    ['replay', 'replay.records', true],
    ['replay.records', 'replay', false],
  ])('with --only %s: %s is %s', (only, name, expected) => {
    expect(wanted({ only: [only], peers: true }, scene(false), name)).toBe(expected)
  })

  it('is a peer that is named, also without --peers', () => {
    expect(wanted({ only: ['redis'] }, scene(true), 'redis.commands.w256')).toBe(true)
  })
})
