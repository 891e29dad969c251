/**
 * A model's Markdown as DOM nodes that are safe to show.
 *
 * Two walls: markdown-it takes no HTML from the text (`html: false`), and DOMPurify lets through only these few elements.
 * Pictures become links, because fetching one would tell its server who reads this.
 */
import DOMPurify from 'dompurify'
import MarkdownIt from 'markdown-it'

const ELEMENTS = [
  'a', 'blockquote', 'br', 'button', 'code', 'del', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol',
  'p', 'pre', 's', 'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
]
const ATTRIBUTES = ['class', 'href', 'rel', 'start', 'target', 'title', 'type']

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true })
let copyLabel = 'Copy'

markdown.renderer.rules.image = (tokens, index) => {
  const token = tokens[index]!
  const { escapeHtml } = markdown.utils
  const source = String(token.attrGet('src') ?? '')
  return `<a href="${escapeHtml(source)}">${escapeHtml(token.content || source)}</a>`
}

markdown.renderer.rules.fence = (tokens, index) => {
  const token = tokens[index]!
  const { escapeHtml } = markdown.utils
  const language = escapeHtml(token.info.trim().split(/\s+/)[0] ?? '')
  return (
    `<div class="code-block"><div class="code-head"><span>${language}</span>` +
    `<button type="button" class="btn btn-sm btn-link code-copy">${escapeHtml(copyLabel)}</button></div>` +
    `<pre tabindex="0"><code>${escapeHtml(token.content)}</code></pre></div>`
  )
}

const purify = typeof window === 'undefined' ? DOMPurify : DOMPurify(window)

purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName !== 'A') return
  node.setAttribute('target', '_blank')
  node.setAttribute('rel', 'noopener noreferrer nofollow')
})

/** The nodes to show for a text; `copy` labels the buttons of code blocks. */
export function render(text: string, copy: string): DocumentFragment {
  copyLabel = copy
  return purify.sanitize(markdown.render(text), {
    ALLOWED_TAGS: ELEMENTS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  })
}
