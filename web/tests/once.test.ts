import { mount, flushPromises } from '@vue/test-utils'
import { createPinia } from 'pinia'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { networkError } from '@/api/errors'
import RedeemForm from '@/components/RedeemForm.vue'
import { useOnce } from '@/composables/once'
import { ApiError } from '@/api/errors'
import { i18n, useLocale } from '@/i18n'
import { json, serve } from './support'

beforeAll(() => useLocale('ru'))
afterEach(() => vi.unstubAllGlobals())

async function keysOf(bodies: unknown[], failures: (Error | null)[]): Promise<string[]> {
  const once = useOnce()
  const keys: string[] = []
  for (const [index, body] of bodies.entries()) {
    await once(body, async (_, headers) => {
      keys.push(headers['Idempotency-Key'])
      const failure = failures[index]
      if (failure) throw failure
    }).catch(() => undefined)
  }
  return keys
}

describe('a request that must happen once', () => {
  it.each([
    ['the network', networkError()],
    ['an outage', new ApiError(503, 'UNAVAILABLE', '', '')],
  ])('is sent again under its key after %s', async (_, failure) => {
    const [first, second, third] = await keysOf(['a', 'a', 'a'], [failure, null, null])
    expect(second).toBe(first)
    expect(third).not.toBe(first)
  })

  it('is another one with another body, and after a refusal', async () => {
    const [first, second] = await keysOf(['a', 'b'], [networkError(), null])
    expect(second).not.toBe(first)
    const refused = await keysOf(['a', 'a'], [new ApiError(400, 'INVALID_CODE', '', ''), null])
    expect(refused[1]).not.toBe(refused[0])
  })
})

it('a code is redeemed under one key, however often the network fails', async () => {
  const form = mount(RedeemForm, { global: { plugins: [i18n, createPinia()], stubs: { RouterLink: true } } })
  await form.get('input').setValue(' CODE-1 ')
  serve({})
  await form.get('form').trigger('submit')
  await flushPromises()
  expect(form.text()).toContain('Нет связи с сервером')
  const keys: (string | null)[] = []
  const answers = [json({}, 503), json({ success: true })]
  serve({
    'POST /api/billing/redeem': (request) => {
      keys.push(request.headers.get('Idempotency-Key'))
      return answers.shift()!
    },
  })
  await form.get('form').trigger('submit')
  await flushPromises()
  expect(form.emitted('redeemed')).toBeUndefined()
  await form.get('form').trigger('submit')
  await flushPromises()
  expect(form.emitted('redeemed')).toHaveLength(1)
  expect(keys[0]).toBeTruthy()
  expect(keys[1]).toBe(keys[0])
})
