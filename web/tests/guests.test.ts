import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Component } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { keepTokens } from '@/api/tokens'
import { i18n, useLocale } from '@/i18n'
import AccountPage from '@/pages/AccountPage.vue'
import BalancePage from '@/pages/BalancePage.vue'
import KeysPage from '@/pages/KeysPage.vue'
import { routes } from '@/router'
import { useAuth } from '@/stores/auth'
import { REPLY, json, serve } from './support'

const OFFER = {
  provider: 'yookassa', tokensPerRuble: 1000, creditPrice: '1.00', currency: 'RUB', minTokens: 1, maxTokens: 2,
  minCredits: 1, maxCredits: 2, receiptContactNeeded: false,
}

beforeAll(() => useLocale('ru'))
beforeEach(() => {
  setActivePinia(createPinia())
  keepTokens(REPLY as never)
})
afterEach(() => vi.unstubAllGlobals())

/** One that ends is a guest's. */
function be(expiresAt: string | null): void {
  useAuth().me = { userId: 'u', role: 'user', plan: 'FREE', createdAt: '2024-01-15T10:00:00Z', expiresAt } as never
}

describe('a guest', () => {
  const open = async (page: Component, path: string) => {
    const router = createRouter({ history: createMemoryHistory(), routes })
    await router.push(path)
    serve({
      'GET /api/keys': () => json({ keys: [] }),
      'GET /api/link': () => json({ links: [] }),
      'GET /api/billing/topup': () => json(OFFER),
    })
    const wrapper = mount(page, { global: { plugins: [i18n, router] } })
    await flushPromises()
    return wrapper
  }

  it.each([
    [KeysPage, '/keys', 'Создать', 'Ключи API выдаются после регистрации'],
    [BalancePage, '/balance', 'Применить', 'Пополнять баланс и применять коды можно после регистрации'],
    [AccountPage, '/account', 'Получить код', 'Бота можно привязать после регистрации'],
  ])('is told what registering brings, not offered what is refused (%#)', async (page, path, button, text) => {
    const buttons = (wrapper: Awaited<ReturnType<typeof open>>) => wrapper.findAll('button').map((each) => each.text())
    be('2024-02-15T10:00:00Z')
    const asGuest = await open(page, path)
    expect(buttons(asGuest)).not.toContain(button)
    const note = asGuest.get('[data-testid=guest-note]')
    expect(note.text()).toContain(text)
    expect(note.text()).toContain('Диалоги и баланс останутся с вами.')
    expect(note.get('a').attributes('href')).toBe(`/register?next=${path}`)
    be(null)
    const asMember = await open(page, path)
    expect(buttons(asMember)).toContain(button)
    expect(asMember.find('[data-testid=guest-note]').exists()).toBe(false)
  })
})
