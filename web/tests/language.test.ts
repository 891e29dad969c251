import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { authorizedFetch } from '@/api/client'
import { i18n, useLocale } from '@/i18n'
import { useLanguage } from '@/stores/language'
import { json, serve } from './support'

type Me = Parameters<ReturnType<typeof useLanguage>['meet']>[0]
const me = (locale: string | null) => ({ locale }) as Me

beforeEach(async () => {
  localStorage.clear()
  sessionStorage.clear()
  setActivePinia(createPinia())
  await useLocale('ru')
})
afterEach(() => vi.unstubAllGlobals())

const saved = () => {
  const bodies: unknown[] = []
  serve({
    'PATCH /api/auth/me': async (request) => {
      bodies.push(await request.json())
      return json({})
    },
  })
  return bodies
}

describe('the language', () => {
  it('is sent with every call', async () => {
    const { requests } = serve({ 'GET /api/x': () => json({}) })
    await useLocale('fr')
    await authorizedFetch('/api/x')
    expect(requests[0]?.headers.get('Accept-Language')).toBe('fr')
  })

  it('that is chosen becomes the account’s', async () => {
    const bodies = saved()
    await useLanguage().choose('fr', true)
    expect(bodies).toEqual([{ locale: 'fr' }])
    expect(document.documentElement.lang).toBe('fr')
    // The account, as it was read before, doesn't turn it back.
    await useLanguage().meet(me('fr'), 'fr')
    expect(bodies).toHaveLength(1)
  })

  it('of the account is that of the pages', async () => {
    const bodies = saved()
    await useLanguage().meet(me('en'), 'ru')
    expect(i18n.global.locale.value).toBe('en')
    expect(bodies).toEqual([])
  })

  it('that was chosen before the login goes to the account', async () => {
    const bodies = saved()
    await useLanguage().choose('en', false)
    expect(bodies).toEqual([])
    await useLanguage().meet(me('ru'), 'en')
    expect(bodies).toEqual([{ locale: 'en' }])
    expect(i18n.global.locale.value).toBe('en')
  })

  it('that could not be told to the account is told later', async () => {
    serve({})
    await expect(useLanguage().choose('en', true)).rejects.toMatchObject({ code: 'NETWORK' })
    const bodies = saved()
    await useLanguage().meet(me('ru'), 'en')
    expect(bodies).toEqual([{ locale: 'en' }])
  })

  it('stays where the account has none', async () => {
    await useLanguage().meet(me(null), 'ru')
    expect(i18n.global.locale.value).toBe('ru')
  })
})
