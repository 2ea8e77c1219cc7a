import { defineConfig } from 'vitest/config'

/** Folders whose tests leave nothing behind in the process that they run in, the variables of its environment included. */
const inMemory = 'actors,behaviour,client,core,kv,membership,partition,placement,protocol,soak,testing'
const filesInMemory = `test/{${inMemory}}/**/*.test.ts`

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // They wait for disks, servers and clocks as much as they work. More of them would make waits of tests that measure.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // A promise that nobody awaited is a failure, also when all tests passed.
    dangerouslyIgnoreUnhandledErrors: false,
    restoreMocks: true,
    expect: { requireAssertions: true },
    projects: [
      {
        extends: true,
        test: {
          name: 'processes',
          include: ['test/**/*.test.ts'],
          exclude: [filesInMemory],
          // Each file has a process of its own.
        },
      },
      {
        extends: true,
        test: {
          name: 'memory',
          include: [filesInMemory],
          // All files of a worker share the modules, which else are loaded anew for each: two thirds of a second.
          isolate: false,
        },
      },
    ],
  },
})
