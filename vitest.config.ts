import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Native code (RocksDB) and child processes: each file in a process of its own.
    pool: 'forks',
    // They wait for disks, servers and clocks as much as they work. More of them would make waits of tests that measure.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // A promise that nobody awaited is a failure, also when all tests passed.
    dangerouslyIgnoreUnhandledErrors: false,
    restoreMocks: true,
    expect: { requireAssertions: true },
  },
})
