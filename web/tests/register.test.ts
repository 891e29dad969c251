import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { i18n, useLocale } from '@/i18n'
import RegisterPage from '@/pages/RegisterPage.vue'
import { routes } from '@/router'
import { json, serve } from './support'

beforeAll(() => useLocale('ru'))
beforeEach(() => setActivePinia(createPinia()))
afterEach(() => vi.unstubAllGlobals())

it('the form of registering says what a name may be, and marks what is wrong', async () => {
  const details = { username: ['Только буквы.'], password: ['Слишком короткий.'], first_name: ['Слишком длинное.'] }
  serve({ 'POST /api/auth/register': () => json({ code: 'VALIDATION_ERROR', error: 'Ошибка', message: 'details', details }, 400) })
  const router = createRouter({ history: createMemoryHistory(), routes })
  const page = mount(RegisterPage, { global: { plugins: [i18n, router] } })
  const described = (name: string) => {
    const input = page.get(`input[autocomplete=${name}]`)
    const texts = (input.attributes('aria-describedby') ?? '').split(' ').filter(Boolean).map((id) => page.get(`[id="${id}"]`).text())
    return { invalid: input.attributes('aria-invalid'), marked: input.classes('is-invalid'), texts }
  }
  const hint = 'От 3 до 64 символов: буквы одного алфавита, цифры и . _ - @ +'
  expect(described('username')).toEqual({ invalid: undefined, marked: false, texts: [hint] })
  await page.get('form').trigger('submit')
  await flushPromises()
  expect(described('username')).toEqual({ invalid: 'true', marked: true, texts: ['Только буквы.', hint] })
  expect(described('new-password')).toMatchObject({ invalid: 'true', marked: true, texts: ['Слишком короткий.', expect.any(String)] })
  expect(described('given-name')).toEqual({ invalid: 'true', marked: true, texts: ['Слишком длинное.'] })
  expect(page.get('[role=alert]').text()).toBe('Проверьте отмеченные поля')
})
