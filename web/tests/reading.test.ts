/** Answers that come late: what is shown belongs to what was asked for last, and to who asked. */
import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, h } from 'vue'
import { networkError } from '@/api/errors'
import { usePages } from '@/composables/pages'
import { usePendingPayment } from '@/composables/pendingPayment'
import { i18n } from '@/i18n'
import AdminUserPage from '@/pages/admin/AdminUserPage.vue'
import { useAssistants } from '@/stores/assistants'
import { useAuth } from '@/stores/auth'
import { useMoney } from '@/stores/money'
import { useSessions } from '@/stores/sessions'
import { be, eachLoggedIn, router } from './adminSupport'
import { REPLY, json, serve } from './support'

eachLoggedIn()
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** Answers to the calls of one path, given one by one and in any order. The login can't be renewed. */
function held(path: string) {
  const given: ((body: unknown, status?: number) => void)[] = []
  serve({
    [path]: () => new Promise((resolve) => given.push((body, status) => resolve(json(body, status)))),
    'POST /api/auth/refresh': () => json({ code: 'UNAUTHORIZED' }, 401),
  })
  return given
}

describe('a list', () => {
  it('is not lengthened by a page of what it was before, nor twice by one page', async () => {
    const answers: (() => void)[] = []
    const list = usePages(
      (cursor) => new Promise<{ items: string[]; next: string }>((resolve) => answers.push(() => resolve({ items: [cursor ?? 'new'], next: 'next' }))),
    )
    void list.refresh()
    answers[0]!()
    await flushPromises()
    void list.more()
    void list.more()
    answers[1]!()
    answers[2]!()
    await flushPromises()
    expect(list.items.value).toEqual(['new', 'next'])
    void list.more()
    void list.refresh()
    answers[4]!()
    answers[3]!()
    await flushPromises()
    expect([list.items.value, list.running.value]).toEqual([['new'], false])
  })
})

it('the card of an account is not shown at the address of another', async () => {
  be('admin')
  const [anna, boris] = ['a'.repeat(32), 'b'.repeat(32)]
  const card = (userId: string, username: string) => ({
    userId, username, email: null, firstName: '', lastName: '', role: 'user', plan: 'FREE', blocked: false, locale: 'ru',
    currentBalance: 1, held: 0, totalTokens: 0, createdAt: '2024-01-15T10:00:00Z', lastSeenAt: null, expiresAt: null,
    externalId: null, keyId: null, linkedUserId: null, credits: { remaining: 1, extra: 0, unlimited: true, periodEndsAt: '' },
  })
  const answers: Record<string, () => void> = {}
  const answer = (userId: string, name: string) => () =>
    new Promise<Response>((resolve) => {
      answers[name] = () => resolve(json(card(userId, name)))
    })
  serve({ [`GET /api/admin/user/${anna}`]: answer(anna, 'anna'), [`GET /api/admin/user/${boris}`]: answer(boris, 'boris') })
  const page = mount(AdminUserPage, {
    props: { userId: anna },
    global: { plugins: [i18n, router()], stubs: { RouterLink: true, BModal: true } },
  })
  await page.setProps({ userId: boris })
  await flushPromises()
  answers.boris!()
  await flushPromises()
  answers.anna!()
  await flushPromises()
  expect(page.get('h1').text()).toBe('boris')
})

describe('what was asked for by who was here before', () => {
  it('is not shown of the balance', async () => {
    const answers = held('GET /api/billing')
    const money = useMoney()
    const asked = money.refresh()
    await flushPromises()
    money.forget()
    answers[0]!({ currentBalance: 5 })
    await asked
    expect([money.billing, money.failed]).toEqual([null, false])
  })

  it('is not shown of the dialogs, nor said to have failed', async () => {
    const answers = held('GET /api/chat/sessions')
    const sessions = useSessions()
    const [first, second] = [sessions.refresh(), sessions.refresh()]
    await flushPromises()
    sessions.forget()
    answers[0]!({ sessions: [{ id: 's1' }], nextCursor: null })
    answers[1]!({ code: 'UNAUTHORIZED' }, 500)
    await Promise.all([first, second])
    expect([sessions.sessions, sessions.loaded, sessions.loading, sessions.error]).toEqual([[], false, false, null])
  })

  it('is not shown of the assistants', async () => {
    const answers = held('GET /api/assistants')
    const assistants = useAssistants()
    const asked = assistants.refresh()
    await flushPromises()
    assistants.forget()
    answers[0]!({ assistants: [{ id: 'chat' }] })
    await asked
    expect(assistants.offered).toEqual([])
  })

  it('is gone also when the new account can not be read yet', async () => {
    be('user')
    serve({ 'POST /api/auth/login': () => json({ ...REPLY, userId: 'other' }) })
    await expect(useAuth().login('other', 'password')).rejects.toMatchObject({ code: networkError().code })
    expect(useAuth().me).toBeNull()
  })
})

describe('a payment under way', () => {
  function page(onDecided = () => undefined) {
    let found!: ReturnType<typeof usePendingPayment>
    const setup = () => ((found = usePendingPayment(onDecided)), () => h('p'))
    return { wrapper: mount(defineComponent({ setup })), found }
  }

  it.each([
    ['its page was left', { status: 'pending' }, 200, true],
    ['nobody is logged in', { code: 'UNAUTHORIZED' }, 401, false],
    ['it is somebody else’s', { code: 'NOT_FOUND' }, 404, false],
  ])('is not asked about once %s', async (_, body, status, leave) => {
    vi.useFakeTimers()
    sessionStorage.setItem('talkmeter.payment', 'p1')
    const answers = held('GET /api/billing/payments/p1')
    const { wrapper, found } = page()
    found.resume()
    await vi.advanceTimersByTimeAsync(0)
    if (leave) wrapper.unmount()
    answers[0]!({ paymentId: 'p1', ...body }, status)
    await vi.advanceTimersByTimeAsync(0)
    expect(answers).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is asked about again while it is not decided, and after an outage', async () => {
    vi.useFakeTimers()
    sessionStorage.setItem('talkmeter.payment', 'p1')
    const answers = held('GET /api/billing/payments/p1')
    const decided = vi.fn()
    page(decided).found.resume()
    for (const [body, status] of [[{ status: 'pending' }, 200], [{}, 503], [{ status: 'succeeded' }, 200]] as const) {
      await vi.advanceTimersByTimeAsync(2_000)
      answers.at(-1)!(body, status)
      await vi.advanceTimersByTimeAsync(0)
    }
    expect(answers).toHaveLength(3)
    expect(decided).toHaveBeenCalledOnce()
    expect(sessionStorage.getItem('talkmeter.payment')).toBeNull()
  })
})
