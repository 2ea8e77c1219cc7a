import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { headerNames, subjectsOf } from '../../src/protocol/subjects.ts'
import { partitionId, type NodeId } from '../../src/protocol/ids.ts'
import { page, pages, pathsIn, root } from './markdown.ts'

describe('the pages of the project', () => {
  it('point to files that are there', () => {
    const pointers = pages().flatMap((each) => pathsIn(each).map((path) => ({ page: each.path, path })))
    expect(pointers.length).toBeGreaterThan(100)
    expect(pointers.filter(({ path }) => !existsSync(join(root, path)))).toEqual([])
  })

  it('name every subject', () => {
    const protocol = page('docs/protocol.md').text
    const subjects = subjectsOf('c')
    const n = partitionId(7)
    const node = 'node' as NodeId
    const all = [
      ...(['call', 'tell', 'query'] as const).map((kind) => subjects.call(kind, 'type', 'key', 'command')),
      subjects.changes('type', 'key'),
      ...[subjects.watch(n), subjects.scan(n), subjects.partition(n), subjects.log(n)],
      subjects.list('type'),
      ...[subjects.nodeFrame(node), subjects.nodeControl(node), subjects.gossip(node)],
      ...[subjects.placement, subjects.placementGet, subjects.placementReport, subjects.placementOrder],
    ]
    const written = all.map((subject) =>
      subject
        .replace(/^c/, '<c>')
        .replace('.type.key', '.<type>.<key>')
        .replace(/^<c>\.list\.type$/, '<c>.list.<type>')
        .replace(/command$/, subject.startsWith('c.query') ? '<query>' : '<command>')
        .replace(/7$/, '<n>')
        .replace(/\bgossip\.node\b|\bnode\.node\b/, (found) => found.replace(/node$/, '<id>')),
    )
    expect(written.filter((subject) => !protocol.includes(`\`${subject}\``))).toEqual([])
  })

  it('name every header', () => {
    const protocol = page('docs/protocol.md').text
    expect(Object.values(headerNames).filter((name) => !protocol.includes(`\`${name}\``))).toEqual([])
  })

  it('name every export in the API reference, and which the client has', () => {
    const text = page('docs/api.md').text
    const exportsOf = (path: string) => {
      const source = readFileSync(join(root, path), 'utf8')
      const lists = Array.from(source.matchAll(/export (?:type )?\{([^}]*)\}/g), ([, names]) => names!.split(','))
      return lists.flat().flatMap((name) => name.trim().replace(/^type /, '') || [])
    }
    const both = new Set(exportsOf('src/client/index.ts'))
    const all = new Set([...exportsOf('src/index.ts'), ...both])
    // The first place where it stands counts.
    const places = Array.from(text.matchAll(/`(\w+)(?:\([^`]*\))?`(°?)/g), ([, name, mark]) => [name!, mark!] as const)
    const named = new Map(places.toReversed())
    expect([...all].filter((name) => !named.has(name))).toEqual([])
    expect([...all].filter((name) => (named.get(name) === '°') !== both.has(name))).toEqual([])
    expect(all.size).toBeGreaterThan(40)
  })

  it('give a reason for every dependency', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, object>
    const dependencies = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies }
    const reasons = page('docs/decisions/0001-dependencies.md').text
    expect(Object.keys(dependencies).filter((name) => !reasons.includes(`**\`${name}\`**`))).toEqual([])
  })

  it('number the decisions without a gap, each with its context, decision and consequence', () => {
    const decisions = pages().filter(({ path }) => path.startsWith('docs/decisions/'))
    decisions.sort((a, b) => (a.path < b.path ? -1 : 1))
    decisions.forEach(({ path, text }, i) => {
      const number = String(i + 1).padStart(4, '0')
      expect(path).toContain(`/${number}-`)
      expect(text).toMatch(new RegExp(`^# ${number}: `))
      for (const part of ['Context', 'Decision', 'Consequence']) expect(text, path).toContain(`**${part}.**`)
    })
    expect(decisions.length).toBeGreaterThan(10)
  })
})
