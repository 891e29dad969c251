import { mount } from '@vue/test-utils'
import { beforeAll, expect, it } from 'vitest'
import UsageTable from '@/components/UsageTable.vue'
import { i18n, useLocale } from '@/i18n'

beforeAll(() => useLocale('en'))

it('the table of usage says each day and all of them', () => {
  const row = (key: string) => ({ key, jobs: 2, failed: 0, promptTokens: 30, completionTokens: 400, charged: 1000 })
  const props = { rows: [row('a'), row('b')], heading: 'Day', label: (key: string) => `day ${key}` }
  const table = mount(UsageTable, { props: props as never, global: { plugins: [i18n] } })
  const lines = table.findAll('tbody tr').map((line) => [line.get('th span').text(), ...line.findAll('td').map((cell) => cell.text())])
  expect(lines).toEqual([
    ['day a', '2', '30', '400', '1,000'],
    ['day b', '2', '30', '400', '1,000'],
    ['Total', '4', '60', '800', '2,000'],
  ])
  expect(table.findAll('tbody th')[2]!.text()).toContain('Prompt tokens: 60')
})
