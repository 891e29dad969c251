import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import ChatComposer from '@/components/ChatComposer.vue'
import { i18n, useLocale } from '@/i18n'
import { useAssistants } from '@/stores/assistants'
import { json, serve } from './support'

const OFFERED = [
  { id: 'chat', meter: 'tokens', locale: 'ru' },
  { id: 'coach', meter: 'credits', locale: 'fr' },
  { id: 'of-the-admin', meter: 'free', locale: 'ru' },
]

beforeAll(() => useLocale('ru'))
beforeEach(() => {
  localStorage.clear()
  setActivePinia(createPinia())
})
afterEach(() => vi.unstubAllGlobals())

async function loaded(offered: unknown[] = OFFERED) {
  serve({ 'GET /api/assistants': () => json({ assistants: offered }) })
  const store = useAssistants()
  await store.refresh()
  return store
}

it('assistants are those that the server offers, with what they cost', async () => {
  const store = await loaded()
  const composer = mount(ChatComposer, { props: { busy: false, canStop: false }, global: { plugins: [i18n] } })
  await flushPromises()
  expect(composer.findAll('option').map((each) => each.text())).toEqual([
    'Универсальный · по токенам', 'Коуч · 1 кредит за ответ', 'of-the-admin · бесплатно',
  ])
  await composer.get('select').setValue('coach')
  expect(store.chosen).toBe('coach')
})

it('the assistant that was chosen is remembered while it is offered', async () => {
  ;(await loaded()).chosen = 'coach'
  setActivePinia(createPinia())
  expect(useAssistants().chosen).toBe('')
  expect((await loaded()).chosen).toBe('coach')
  expect((await loaded(OFFERED.slice(0, 1))).chosen).toBe('chat')
})

it('without a list one asks whom the server usually asks', async () => {
  serve({})
  const store = useAssistants()
  await store.refresh()
  expect([store.offered, store.chosen]).toEqual([[], ''])
})
