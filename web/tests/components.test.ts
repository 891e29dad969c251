import { mount } from '@vue/test-utils'
import { createPinia } from 'pinia'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { h } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { ApiError, networkError } from '@/api/errors'
import BusyButton from '@/components/BusyButton.vue'
import ChatComposer from '@/components/ChatComposer.vue'
import ErrorNote from '@/components/ErrorNote.vue'
import MessageItem from '@/components/MessageItem.vue'
import { i18n, useLocale } from '@/i18n'
import { nextPage } from '@/lib/nextPage'
import { routes } from '@/router'

const EVIL = '<img src=x onerror=alert(1)>'
const global = { plugins: [i18n, createPinia(), createRouter({ history: createMemoryHistory(), routes })] }

beforeAll(() => useLocale('ru'))

describe('an error', () => {
  it('of no money says how much is missing and where to pay', () => {
    const error = new ApiError(402, 'INSUFFICIENT_TOKENS', '', '', { required: 21, available: 2 } as never)
    const note = mount(ErrorNote, { props: { error }, global })
    expect(note.text()).toContain('Для ответа нужно 21 токен, доступно 2 токена.')
    expect(note.get('a').attributes('href')).toBe('/balance')
  })

  it('of the network is told in our words', () => {
    expect(mount(ErrorNote, { props: { error: networkError() }, global }).text()).toContain('Нет связи с сервером')
  })

  const invalid = (details: Record<string, string[]>, props = {}) => {
    const error = new ApiError(400, 'VALIDATION_ERROR', 'Неверные параметры запроса', 'Исправьте details', { details } as never)
    return mount(ErrorNote, { props: { error, ...props }, global }).text()
  }

  it('of one field is told in a sentence', () => {
    expect(invalid({ code: ['Обязательное поле.'] })).toBe('Обязательное поле.')
  })

  it('of several fields calls them as the form does', () => {
    expect(invalid({ name: ['Не длиннее 100 символов.'], days: ['Больше нуля.'] }, { labels: { name: 'Название', days: 'Срок' } })).toBe(
      'Исправьте и повторитеНазвание: Не длиннее 100 символов.Срок: Больше нуля.',
    )
  })

  it('of fields that are marked says no more than that', () => {
    expect(invalid({ username: ['Только буквы'] }, { told: ['username'] })).toBe('Проверьте отмеченные поля')
  })

  it('stays text', () => {
    const error = new ApiError(400, 'X', EVIL, EVIL, { details: { [EVIL]: [EVIL] } } as never)
    const note = mount(ErrorNote, { props: { error }, global })
    expect(note.find('img').exists()).toBe(false)
    expect(note.text()).toContain(EVIL)
  })
})

describe('a button whose work runs', () => {
  const press = async (busy: boolean) => {
    const onClick = vi.fn()
    const onSubmit = vi.fn((event: Event) => event.preventDefault())
    const Form = () => h('form', { onSubmit }, h(BusyButton, { busy, onClick }, () => 'x'))
    const form = mount(Form, { attachTo: document.body })
    const button = form.get('button')
    button.element.focus()
    await button.trigger('click')
    const found = {
      said: button.attributes('aria-disabled'), focused: document.activeElement === button.element,
      pressed: onClick.mock.calls.length, sent: onSubmit.mock.calls.length,
    }
    form.unmount()
    return found
  }

  it('is pressed when it is free', async () => {
    expect(await press(false)).toEqual({ said: undefined, focused: true, pressed: 1, sent: 1 })
  })

  it('does nothing, and keeps the focus', async () => {
    expect(await press(true)).toEqual({ said: 'true', focused: true, pressed: 0, sent: 0 })
  })
})

describe('a message', () => {
  const message = {
    id: 'b', role: 'USER' as const, content: EVIL, createdAt: '2024-01-15T10:00:00Z', parentId: null, siblings: ['a', 'b', 'c'],
  }

  it('of a person stays text', () => {
    const item = mount(MessageItem, { props: { message, busy: false }, global })
    expect(item.find('img').exists()).toBe(false)
    expect(item.text()).toContain(EVIL)
  })

  it('leads to its alternatives', async () => {
    const item = mount(MessageItem, { props: { message, busy: false }, global })
    expect(item.get('[data-testid=versions]').text()).toContain('2/3')
    await item.get('button[aria-label="Предыдущий вариант"]').trigger('click')
    await item.get('button[aria-label="Следующий вариант"]').trigger('click')
    expect(item.emitted('select')).toEqual([['a'], ['c']])
  })

  it('is edited', async () => {
    const item = mount(MessageItem, { props: { message, busy: false }, global, attachTo: document.body })
    await item.findAll('button').find((button) => button.text() === 'Изменить')!.trigger('click')
    expect(document.activeElement).toBe(item.get('textarea').element)
    await item.get('textarea').setValue(' другое ')
    await item.get('form').trigger('submit')
    expect(item.emitted('edit')).toEqual([['другое']])
  })
})

describe('the composer', () => {
  const props = { busy: false, canStop: false }

  it('sends with Enter, and nothing twice', async () => {
    const composer = mount(ChatComposer, { props, global })
    await composer.get('textarea').setValue('  hello ')
    await composer.get('textarea').trigger('keydown', { key: 'Enter' })
    await composer.get('textarea').trigger('keydown', { key: 'Enter' })
    expect(composer.emitted('send')).toEqual([['hello']])
  })

  it('does not send with Shift+Enter, while busy, or too much', async () => {
    const composer = mount(ChatComposer, { props, global })
    await composer.get('textarea').setValue('hello')
    await composer.get('textarea').trigger('keydown', { key: 'Enter', shiftKey: true })
    await composer.setProps({ busy: true })
    await composer.get('textarea').trigger('keydown', { key: 'Enter' })
    await composer.setProps({ busy: false })
    await composer.get('textarea').setValue('x'.repeat(10_001))
    await composer.get('textarea').trigger('keydown', { key: 'Enter' })
    expect(composer.emitted('send')).toBeUndefined()
  })
})

it.each([
  ['/balance', '/balance'],
  ['//evil.example', '/chat'],
  ['/\\evil.example', '/chat'],
  ['https://evil.example', '/chat'],
  [undefined, '/chat'],
])('after a login %s leads to %s', (asked, page) => {
  expect(nextPage(asked)).toBe(page)
})
