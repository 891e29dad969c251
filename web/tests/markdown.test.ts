import { describe, expect, it } from 'vitest'
import { render } from '@/lib/markdown'

function shown(text: string): HTMLElement {
  const box = document.createElement('div')
  box.append(render(text, 'Copy'))
  return box
}

describe('a model’s Markdown', () => {
  it('has its formats', () => {
    const box = shown('# Title\n\n**bold** and `code`\n\n- one\n- two\n\n| a | b |\n|---|:-:|\n| 1 | 2 |')
    expect(box.querySelector('h1')?.textContent).toBe('Title')
    expect(box.querySelector('strong')?.textContent).toBe('bold')
    expect(box.querySelectorAll('li')).toHaveLength(2)
    expect(box.querySelectorAll('td')).toHaveLength(2)
    expect(box.querySelector('[style]')).toBeNull()
  })

  it('shows code as it is, with a button to copy it', () => {
    const box = shown('```py <b>\nprint("<b>")\n```')
    expect(box.querySelector('pre code')?.textContent).toBe('print("<b>")\n')
    expect(box.querySelector('button.code-copy')?.textContent).toBe('Copy')
    expect(box.querySelector('b')).toBeNull()
  })

  it.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<svg/onload=alert(1)>',
    '<iframe src="https://example.com"></iframe>',
    '<a href="javascript:alert(1)">x</a>',
    '<button class="code-copy">x</button>',
    '`</code></pre><script>alert(1)</script>`',
    '```\n</code></pre><img src=x onerror=alert(1)>\n```',
    '```"><img/src/onerror=alert(1)>\nx\n```',
  ])('leaves HTML text: %s', (text) => {
    const box = shown(text)
    expect(box.querySelector('script, img, svg, iframe, [onerror], [onload]')).toBeNull()
    expect(box.querySelectorAll('button').length).toBe(text.startsWith('```') ? 1 : 0)
  })

  it.each([
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](data:text/html,<script>alert(1)</script>)',
    '[x](vbscript:x)',
    '[x](/api/auth/logout)',
    '![x](javascript:alert(1))',
    '![" onerror="alert(1)](x)',
  ])('links nowhere but to the web: %s', (text) => {
    for (const link of shown(text).querySelectorAll('a')) expect(link.getAttribute('href')).toBeNull()
    expect(shown(text).querySelector('img, [onerror]')).toBeNull()
  })

  it('opens links elsewhere, and fetches no picture', () => {
    const box = shown('[site](https://example.com) ![spy](https://example.com/a.png)')
    const [site, picture] = box.querySelectorAll('a')
    expect(site?.rel).toContain('noopener')
    expect(site?.target).toBe('_blank')
    expect(picture?.textContent).toBe('spy')
    expect(box.querySelector('img')).toBeNull()
  })
})
