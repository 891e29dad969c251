/** Where to go after a login: a path of ours that was asked for, and nothing else. */
export function nextPage(asked: unknown): string {
  return typeof asked === 'string' && /^\/(?![/\\])/.test(asked) ? asked : '/chat'
}
