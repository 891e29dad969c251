import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import WebhookForm from '@/components/WebhookForm.vue'
import WebhookTest from '@/components/WebhookTest.vue'
import { i18n, useLocale } from '@/i18n'
import { doubles, fieldsOf, metadataNames } from '@/lib/webhookTemplate'
import { json, serve } from './support'

const global = { plugins: [i18n], stubs: { RouterLink: true } }
const row = (id: number, name: string, text = '{text}') => ({ id, name, text })
const template = { method: 'POST', body: 'json', fields: { a: '{text}', b: '{metadata.client} {metadata.client}' } }

beforeAll(() => useLocale('ru'))
beforeEach(() => localStorage.clear())
afterEach(() => vi.unstubAllGlobals())

describe('a template', () => {
  it('has the fields of its rows', () => {
    expect(fieldsOf([row(1, ' a '), row(2, ''), row(3, 'b.c', 'x')])).toEqual({ a: '{text}', 'b.c': 'x' })
    expect(doubles([row(1, 'a'), row(2, ' a'), row(3, 'b'), row(4, ''), row(5, '')])).toEqual(['a'])
  })

  it('wants of a test what it tells of a question', () => {
    expect(metadataNames('template', template)).toEqual(['client'])
    expect(metadataNames('botboom', null)).toEqual(['chatId'])
    expect(metadataNames('native', null)).toEqual([])
  })
})

async function filled() {
  const form = mount(WebhookForm, { global, attachTo: document.body })
  await form.get('input[type=url]').setValue('https://example.com/hook')
  await form.get('#webhook-format').setValue('template')
  const inputs = form.findAll('li input')
  await inputs[0]!.setValue('answer')
  await inputs[1]!.setValue('{nonsense}')
  return form
}

describe('the form of a webhook', () => {
  it('sends a template', async () => {
    const form = await filled()
    await form.get('#template-method').setValue('PUT')
    const { requests } = serve({ 'POST /api/webhooks': () => json({ id: 'w', secret: 'whsec_x' }, 201) })
    await form.get('form').trigger('submit')
    await flushPromises()
    expect(await requests[0]?.json()).toMatchObject({
      url: 'https://example.com/hook', format: 'template',
      template: { method: 'PUT', body: 'json', fields: { answer: '{nonsense}' } },
    })
    expect(form.emitted('created')).toHaveLength(1)
    form.unmount()
  })

  it('tells what is wrong where it is wrong, and keeps what was typed', async () => {
    const form = await filled()
    const details = { 'template.fields': ['Неизвестная подстановка'], url: ['Адрес не тот'], events: ['Пусто'] }
    serve({ 'POST /api/webhooks': () => json({ code: 'VALIDATION_ERROR', error: 'Ошибка', details }, 400) })
    await form.get('form').trigger('submit')
    await flushPromises()
    expect(form.get('[data-testid=template-error]').text()).toBe('Неизвестная подстановка')
    expect(form.get('.invalid-feedback').text()).toBe('Адрес не тот')
    expect(form.get('input[type=url]').attributes('aria-invalid')).toBe('true')
    expect(form.get('.alert').text()).toContain('События: Пусто')
    expect(form.get('.alert').text()).not.toContain('Адрес не тот')
    expect(form.find<HTMLInputElement>('li input').element.value).toBe('answer')
    form.unmount()
  })

  it('does not send a name twice', async () => {
    const form = await filled()
    await form.findAll('button').find((button) => button.text() === 'Добавить поле')!.trigger('click')
    await flushPromises()
    await form.findAll('li input')[2]!.setValue('answer')
    expect(form.text()).toContain('Имя поля указано дважды: answer')
    expect(form.get('button[type=submit]').attributes('disabled')).toBeDefined()
    form.unmount()
  })
})

describe('a test of a webhook', () => {
  const webhook = { id: 'w', format: 'template', template } as never

  it('asks for the metadata that is told', async () => {
    const { requests } = serve({ 'POST /api/webhooks/w/test': () => json({}, 202) })
    const test = mount(WebhookTest, { props: { webhook }, global })
    await test.get('button').trigger('click')
    expect(requests).toHaveLength(0)
    await test.get('input').setValue('42')
    await test.get('form').trigger('submit')
    await flushPromises()
    expect(await requests[0]?.json()).toEqual({ metadata: { client: '42' } })
    expect(test.emitted('sent')).toHaveLength(1)
  })

  it('is sent at once where there is nothing to ask', async () => {
    const { calls } = serve({ 'POST /api/webhooks/w/test': () => json({}, 202) })
    const native = { id: 'w', format: 'native', template: null } as never
    const test = mount(WebhookTest, { props: { webhook: native }, global })
    await test.get('button').trigger('click')
    await flushPromises()
    expect(calls).toEqual(['POST /api/webhooks/w/test'])
  })
})
