import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { components } from '@/api/schema'
import BalanceForm from '@/components/admin/BalanceForm.vue'
import JobsTable from '@/components/admin/JobsTable.vue'
import ModelForm from '@/components/admin/ModelForm.vue'
import { i18n } from '@/i18n'
import { EVIL, ID, be, eachLoggedIn, router } from './adminSupport'
import { json, serve } from './support'

const user = {
  userId: ID, username: 'anna', email: null, firstName: EVIL, lastName: '', role: 'user', plan: 'FREE', blocked: false,
  locale: 'ru', currentBalance: 100, held: 0, totalTokens: 0, createdAt: '2024-01-15T10:00:00Z', lastSeenAt: null,
  expiresAt: null, externalId: null, keyId: null, linkedUserId: null,
} as components['schemas']['User']

eachLoggedIn()
afterEach(() => vi.unstubAllGlobals())

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
    expect(saveOf(wrapper).attributes()).toHaveProperty('disabled')
    await reasonOf(wrapper).setValue('a contract')
    const path = `POST /api/admin/user/${ID}/balance`
    const { requests } = serve({ [path]: () => json({ code: 'BALANCE_CHANGED', error: 'x', message: 'y', currentBalance: 70, held: 0 }, 409) })
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(await requests[0]?.json()).toEqual({ amount: 500, reason: 'a contract', expectedBalance: 100 })
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

describe('the form of a model', () => {
  const model = {
    alias: 'gpt-old', upstreamId: 'gpt-old', sentId: 'gpt-old', contextTokens: 1000, outputTokens: 100, version: 3,
    weights: { version: 1, inputMilli: 1000, cachedMilli: 1000, outputMilli: 1000 }, acceptsTemperature: true,
    outputParameter: 'max_tokens', reasoningEffort: null, shutdownOn: '2027-01-14', providerShutdownOn: null, daysLeft: 54,
    successor: 'gpt-new', warning: 'ending_soon', isDefault: false, assistants: [],
  } as components['schemas']['AdminModel']
  const path = 'PATCH /api/admin/models/gpt-old'
  const form = () =>
    mount(ModelForm, { props: { model, aliases: ['gpt-new', 'gpt-old'] }, global: { plugins: [i18n, router()] } })

  it('sends what was changed, and the version that was seen', async () => {
    be('admin')
    const wrapper = form()
    expect(wrapper.get('button[type=submit]').attributes()).toHaveProperty('disabled')
    await wrapper.findAll('input[type=number]')[2]!.setValue('4000')
    await wrapper.get('input[type=date]').setValue('')
    const { requests } = serve({ [path]: () => json({ ...model, version: 4 }) })
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(await requests[0]?.json()).toEqual({ expectedVersion: 3, weights: { outputMilli: 4000 }, shutdownOn: null })
    expect(wrapper.emitted('changed')).toHaveLength(1)
  })

  it('shows what somebody else has made of it instead of writing over that', async () => {
    be('admin')
    const wrapper = form()
    const [prompt] = wrapper.findAll('input[type=number]')
    await prompt!.setValue('2000')
    serve({ [path]: () => json({ code: 'VERSION_CHANGED', error: 'x', message: 'y', version: 4 }, 409) })
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(wrapper.get('[data-testid=stale]').text()).toContain('Ничего не сохранено')
    await wrapper.setProps({ model: { ...model, version: 4, weights: { ...model.weights, inputMilli: 3000 } } })
    expect((prompt!.element as HTMLInputElement).value).toBe('3000')
  })

  it('is only to be looked at by support', () => {
    be('support')
    const wrapper = form()
    expect(wrapper.findAll('button')).toHaveLength(0)
    expect(wrapper.get('fieldset').attributes()).toHaveProperty('disabled')
  })
})
