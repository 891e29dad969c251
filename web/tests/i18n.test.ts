import { describe, expect, it } from 'vitest'
import adminEn from '@/i18n/admin/en'
import adminFr from '@/i18n/admin/fr'
import adminRu from '@/i18n/admin/ru'
import en from '@/i18n/en'
import fr from '@/i18n/fr'
import { russianForm } from '@/i18n'
import ru from '@/i18n/ru'

type Tree = { [key: string]: string | Tree }

function texts(tree: Tree, path = ''): Map<string, string> {
  const found = new Map<string, string>()
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === 'string') found.set(path + key, value)
    else for (const [inner, text] of texts(value, `${path}${key}.`)) found.set(inner, text)
  }
  return found
}

const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g))].sort()
const russian = texts({ ...ru, admin: adminRu })

describe.each([
  ['en', texts({ ...en, admin: adminEn })],
  ['fr', texts({ ...fr, admin: adminFr })],
])('the texts in %s', (_name, other) => {
  it('are those that there are in Russian', () => {
    expect([...other.keys()].sort()).toEqual([...russian.keys()].sort())
  })

  it('say something, with the same placeholders', () => {
    for (const [key, text] of other) {
      expect(text.trim(), key).not.toBe('')
      expect(placeholders(text), key).toEqual(placeholders(russian.get(key)!))
    }
  })

  it('have as many forms as the language wants', () => {
    for (const [key, text] of russian) {
      if (!text.includes(' | ')) continue
      expect(text.split(' | '), key).toHaveLength(3)
      expect(other.get(key)!.split(' | '), key).toHaveLength(2)
    }
  })
})

describe('French texts', () => {
  const french = [...texts({ ...fr, admin: adminFr })]

  it.each([
    ['a narrow space that does not break before ; ! ?', /(?<!\u202f)[;!?](\s|$)/],
    ['a space that does not break before :', /(?<!\u00a0):(\s|$)/],
    ['spaces that do not break in « »', /«(?!\u00a0)|(?<!\u00a0)»/],
  ])('have %s', (_rule, wrong) => {
    expect(french.filter(([, text]) => wrong.test(text))).toEqual([])
  })
})

describe('Russian plural forms', () => {
  it.each([
    [0, 2], [1, 0], [2, 1], [4, 1], [5, 2], [11, 2], [12, 2], [14, 2], [21, 0], [22, 1], [25, 2], [100, 2],
    [101, 0], [111, 2], [112, 2], [1_000_001, 0],
  ])('of %i', (count, form) => {
    expect(russianForm(count, 3)).toBe(form)
  })
})
