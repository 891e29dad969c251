import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, h, nextTick, ref } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { networkError } from '@/api/errors'
import type { components } from '@/api/schema'
import { keepTokens } from '@/api/tokens'
import BalanceForm from '@/components/admin/BalanceForm.vue'
import DataTable from '@/components/admin/DataTable.vue'
import JobsTable from '@/components/admin/JobsTable.vue'
import { useFilteredPages } from '@/composables/filteredPages'
import { useFilters } from '@/composables/filters'
import { addAdminTexts } from '@/i18n/admin'
import { i18n, useLocale } from '@/i18n'
import { csvOf } from '@/lib/csv'
import { createUiRouter } from '@/router'
import { useAuth } from '@/stores/auth'
import { REPLY, json, serve } from './support'

const EVIL = '<img src=x onerror=alert(1)>'
const ID = '0123456789abcdef0123456789abcdef'
const user = {
  userId: ID, username: 'anna', email: null, firstName: EVIL, lastName: '', role: 'user', plan: 'FREE', blocked: false,
  locale: 'ru', currentBalance: 100, held: 0, totalTokens: 0, createdAt: '2024-01-15T10:00:00Z', lastSeenAt: null,
  expiresAt: null, externalId: null, keyId: null, linkedUserId: null,
} as components['schemas']['User']

const empty = { template: '<p></p>' }
const router = () =>
  createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/', name: 'list', component: empty },
      { path: '/users/:userId', name: 'admin-user', component: empty },
    ],
  })
/** What a composable gives to a component that uses it. */
function use<T>(composable: () => T, plugins: never[] = []): T {
  let found!: T
  const setup = () => ((found = composable()), () => h('p'))
  mount(defineComponent({ setup }), { global: { plugins } })
  return found
}
const be = (role: string) => {
  useAuth().me = { userId: 'me', role, expiresAt: null } as never
}

beforeAll(async () => {
  await useLocale('ru')
  await addAdminTexts()
})
beforeEach(() => {
  setActivePinia(createPinia())
  localStorage.clear()
  sessionStorage.clear()
  keepTokens(REPLY as never)
})
afterEach(() => vi.unstubAllGlobals())

describe('the way to the panel', () => {
  it.each([
    ['admin', 'admin-users'],
    ['support', 'admin-users'],
    ['user', 'forbidden'],
    ['guest', 'forbidden'],
  ])('of the role %s leads to the page %s, and the address stays', async (role, page) => {
    be(role)
    const ui = createUiRouter()
    await ui.push('/admin/users?q=an')
    expect([ui.currentRoute.value.name, ui.currentRoute.value.path]).toEqual([page, '/admin/users'])
  })

  it('leads over the login for who is not logged in', async () => {
    localStorage.clear()
    const ui = createUiRouter()
    await ui.push('/admin/jobs?status=failed')
    expect(ui.currentRoute.value.name).toBe('login')
    expect(ui.currentRoute.value.query.next).toBe('/admin/jobs?status=failed')
  })
})

describe('its texts', () => {
  it('follow the language', async () => {
    expect(i18n.global.t('admin.users.found', { n: 22 }, 22)).toBe('Найдено 22 аккаунта')
    await useLocale('en')
    expect(i18n.global.t('admin.users.found', { n: 1 }, 1)).toBe('1 account found')
    await useLocale('ru')
  })
})

describe('a list under filters', () => {
  it('shows what the newest filter found, whichever is answered first', async () => {
    const filter = ref('slow')
    const answers: Record<string, (items: string[]) => void> = {}
    const read = () => new Promise<{ items: string[]; next: null }>((resolve) => {
      answers[filter.value] = (items) => resolve({ items, next: null })
    })
    const list = use(() => useFilteredPages(() => filter.value, read))
    filter.value = 'quick'
    await nextTick()
    answers.quick!(['quick'])
    await flushPromises()
    answers.slow!(['slow'])
    await flushPromises()
    expect([list.items.value, list.running.value]).toEqual([['quick'], false])
  })

  it('keeps the failure of the newest one only, and recovers', async () => {
    let fail = true
    const read = async () => {
      if (fail) throw networkError()
      return { items: ['a'], next: null }
    }
    const list = use(() => useFilteredPages(() => '', read))
    await flushPromises()
    expect([list.error.value?.code, list.loaded.value]).toEqual(['NETWORK', false])
    fail = false
    await list.refresh()
    expect([list.error.value, list.items.value]).toEqual([null, ['a']])
  })

  it('has its filters in the address, but not the usual ones', async () => {
    const ui = router()
    await ui.push('/?q=anna&sort=-createdAt')
    const filters = use(() => useFilters({ q: '', sort: '-createdAt' }), [ui as never])
    expect(filters.values.value).toEqual({ q: 'anna', sort: '-createdAt' })
    filters.change({ q: '', sort: 'username' })
    await flushPromises()
    expect(ui.currentRoute.value.fullPath).toBe('/?sort=username')
    expect(filters.given.value).toEqual({ sort: 'username' })
  })
})

describe('a table', () => {
  const columns = [{ key: 'name', label: 'Имя', sortable: true }, { key: 'age', label: 'Возраст' }]
  const table = (sort: string) =>
    mount(DataTable, {
      props: { caption: 'Люди', columns, rows: [{ id: '1' }], rowKey: (row: unknown) => (row as { id: string }).id, sort },
    })

  it.each([
    ['', 'none', 'name'],
    ['name', 'ascending', '-name'],
    ['-name', 'descending', 'name'],
  ])('sorted by "%s" says %s and sorts by "%s" next', async (sort, said, next) => {
    const wrapper = table(sort)
    expect(wrapper.findAll('th[scope=col]').map((head) => head.attributes('aria-sort'))).toEqual([said, undefined])
    await wrapper.get('th button').trigger('click')
    expect(wrapper.emitted('sort')).toEqual([[next]])
    expect(wrapper.get('caption').text()).toBe('Люди')
  })
})

describe('the form of the balance', () => {
  const form = () => mount(BalanceForm, { props: { user }, global: { plugins: [i18n, router()] } })
  const amountOf = (wrapper: ReturnType<typeof form>) => wrapper.get('input[type=number]')
  const reasonOf = (wrapper: ReturnType<typeof form>) => wrapper.get('input[maxlength="500"]')
  const saveOf = (wrapper: ReturnType<typeof form>) => wrapper.get('button[type=submit]')

  it('wants a number that is not zero, and a reason', async () => {
    const wrapper = form()
    const { calls } = serve({})
    expect(saveOf(wrapper).attributes()).toHaveProperty('disabled')
    await amountOf(wrapper).setValue('50')
    expect(saveOf(wrapper).attributes()).toHaveProperty('disabled')
    await reasonOf(wrapper).setValue('   ')
    expect(saveOf(wrapper).attributes()).toHaveProperty('disabled')
    await reasonOf(wrapper).setValue('because')
    expect(saveOf(wrapper).attributes()).not.toHaveProperty('disabled')
    expect(wrapper.text()).toContain('станет 150 токенов')
    await amountOf(wrapper).setValue('0')
    await wrapper.get('form').trigger('submit')
    expect(calls).toEqual([])
  })

  it('adjusts under one key however often it is sent', async () => {
    const wrapper = form()
    await amountOf(wrapper).setValue('-50')
    await reasonOf(wrapper).setValue('because')
    const { requests } = serve({})
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(wrapper.text()).toContain('Нет связи с сервером')
    const again = serve({ [`POST /api/admin/user/${ID}/adjust`]: () => json({ success: true, currentBalance: 50 }) })
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(await again.requests[0]?.json()).toEqual({ delta: -50, reason: 'because' })
    expect(again.requests[0]?.headers.get('Idempotency-Key')).toBe(requests[0]?.headers.get('Idempotency-Key'))
    expect(wrapper.emitted('changed')).toHaveLength(1)
  })

  it('says it when somebody else was faster, and saves over what is there then', async () => {
    const wrapper = form()
    await wrapper.get('#mode-set').setValue()
    await amountOf(wrapper).setValue('500')
    const path = `POST /api/admin/user/${ID}/balance`
    const { requests } = serve({ [path]: () => json({ code: 'BALANCE_CHANGED', error: 'x', message: 'y', currentBalance: 70, held: 0 }, 409) })
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(await requests[0]?.json()).toEqual({ amount: 500, reason: '', expectedBalance: 100 })
    expect(wrapper.get('[data-testid=balance-changed]').text()).toContain('Сейчас 70 токенов')
    expect((amountOf(wrapper).element as HTMLInputElement).value).toBe('500')
    expect(wrapper.emitted('changed')).toHaveLength(1)
    await wrapper.setProps({ user: { ...user, currentBalance: 70 } })
    const again = serve({ [path]: () => json({ success: true, currentBalance: 500 }) })
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(await again.requests[0]?.json()).toMatchObject({ expectedBalance: 70 })
    expect(again.requests[0]?.headers.get('Idempotency-Key')).not.toBe(requests[0]?.headers.get('Idempotency-Key'))
    expect(wrapper.find('[data-testid=balance-changed]').exists()).toBe(false)
  })
})

describe('the list of jobs', () => {
  const job = {
    jobId: 'j'.repeat(32), userId: ID, status: 'failed', assistant: 'chat', meter: 'tokens', model: EVIL, charged: 0,
    createdAt: '2024-01-15T10:00:00Z', error: { code: 'UPSTREAM_ERROR', message: EVIL },
  }

  async function shown(role: string) {
    be(role)
    serve({ 'GET /api/admin/jobs': () => json({ jobs: [job, { ...job, jobId: 'k', status: 'running', error: undefined }], nextCursor: null }) })
    const wrapper = mount(JobsTable, { global: { plugins: [i18n, router()] } })
    await flushPromises()
    return wrapper
  }

  it('lets an admin retry and cancel', async () => {
    expect((await shown('admin')).findAll('button').map((button) => button.text())).toEqual(['Повторить', 'Отменить'])
  })

  it('lets support only look, and leaves errors text', async () => {
    const wrapper = await shown('support')
    expect(wrapper.findAll('tbody tr')).toHaveLength(2)
    expect(wrapper.findAll('button')).toHaveLength(0)
    expect(wrapper.find('img').exists()).toBe(false)
    expect(wrapper.text()).toContain(EVIL)
  })
})

it('CSV keeps what a cell holds, and nothing of it is a formula', () => {
  expect(csvOf([['a', 'b'], ['x "y", z', '=HYPERLINK("http://x")'], ['two\nlines', -5], [null, '-5']])).toBe(
    'a,b\r\n"x ""y"", z","\'=HYPERLINK(""http://x"")"\r\n"two\nlines",-5\r\n,\'-5\r\n',
  )
})
