import { flushPromises, mount } from '@vue/test-utils'
import { createPinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import SessionList from '@/components/SessionList.vue'
import { i18n, useLocale } from '@/i18n'
import { routes } from '@/router'
import { json, logIn, REPLY, serve } from './support'

const FOUND = { messageId: 'm', sessionId: 's', title: 'Giraffes', snippet: '…long necks…' }

beforeEach(async () => {
  await useLocale('en')
  logIn()
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('the list of dialogs', () => {
  it('is searched while one types, once per pause', async () => {
    const { requests } = serve({
      'POST /api/auth/refresh': () => json(REPLY),
      'GET /api/chat/sessions': () => json({ sessions: [], nextCursor: null }),
      'GET /api/chat/search': () => json({ results: [FOUND] }),
    })
    const router = createRouter({ history: createMemoryHistory(), routes })
    const list = mount(SessionList, { global: { plugins: [i18n, createPinia(), router] } })
    const box = list.get('input[type=search]')
    await box.setValue('nec')
    await vi.advanceTimersByTimeAsync(100)
    await box.setValue('neck')
    await vi.advanceTimersByTimeAsync(1000)
    await flushPromises()
    const asked = requests.map((each) => new URL(each.url)).filter((url) => url.pathname === '/api/chat/search')
    expect(asked.map((url) => url.searchParams.get('q'))).toEqual(['neck'])
    expect(list.text()).toContain('long necks')
    await box.setValue('')
    await vi.advanceTimersByTimeAsync(1000)
    expect(list.text()).not.toContain('long necks')
    list.unmount()
  })
})
