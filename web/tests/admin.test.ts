import { flushPromises, mount } from '@vue/test-utils'
import { describe, expect, it } from 'vitest'
import { defineComponent, h, nextTick, ref } from 'vue'
import { networkError } from '@/api/errors'
import DataTable from '@/components/admin/DataTable.vue'
import { useFilteredPages } from '@/composables/filteredPages'
import { useFilters } from '@/composables/filters'
import { i18n, useLocale } from '@/i18n'
import { csvOf } from '@/lib/csv'
import { createUiRouter } from '@/router'
import { be, eachLoggedIn, router } from './adminSupport'

/** What a composable gives to a component that uses it. */
function use<T>(composable: () => T, plugins: never[] = []): T {
  let found!: T
  const setup = () => ((found = composable()), () => h('p'))
  mount(defineComponent({ setup }), { global: { plugins } })
  return found
}
eachLoggedIn()

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

  it.each(['/nothing', '/chat/one/two', '/admin/nothing'])('ends at the page that is missing: %s', async (path) => {
    for (const role of ['admin', null]) {
      if (role === null) localStorage.clear()
      else be(role)
      const ui = createUiRouter()
      await ui.push(path)
      expect([ui.currentRoute.value.name, ui.currentRoute.value.path]).toEqual(['missing', path])
    }
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

it('CSV keeps what a cell holds, and nothing of it is a formula', () => {
  expect(csvOf([['a', 'b'], ['x "y", z', '=HYPERLINK("http://x")'], ['two\nlines', -5], [null, '-5']])).toBe(
    'a,b\r\n"x ""y"", z","\'=HYPERLINK(""http://x"")"\r\n"two\nlines",-5\r\n,\'-5\r\n',
  )
})
