/**
 * The language of whoever is here. It is the account's, because server, bots and webhooks speak the account's language
 * too: logging in turns the pages to it, and choosing another one here changes it there. What somebody chose before they
 * logged in is the newest choice, and goes to the account.
 */
import { defineStore } from 'pinia'
import { api, unwrap } from '@/api/client'
import type { components } from '@/api/schema'
import { isLocale, rememberLocale } from '@/i18n'
import type { Locale } from '@/i18n'

type Me = components['schemas']['Me']

const UNSAVED = 'talkmeter.locale.unsaved'

export const useLanguage = defineStore('language', () => {
  async function choose(locale: Locale, isLoggedIn: boolean): Promise<void> {
    await rememberLocale(locale)
    sessionStorage.setItem(UNSAVED, '1')
    if (isLoggedIn) await save(locale)
  }

  async function save(locale: Locale): Promise<void> {
    await unwrap(api.PATCH('/api/auth/me', { body: { locale } }))
    sessionStorage.removeItem(UNSAVED)
  }

  /** Brings pages and account together for somebody who has just been recognised. `current` is the pages' language. */
  async function meet(me: Me, current: Locale): Promise<void> {
    if (me.locale === current) sessionStorage.removeItem(UNSAVED)
    else if (sessionStorage.getItem(UNSAVED) !== null) await save(current)
    else if (isLocale(me.locale)) await rememberLocale(me.locale)
  }

  return { choose, meet }
})
