/** Asking, and what belongs to it. All of it throws `ApiError`. */
import type { Memo } from '@/lib/memo'
import { api, unwrap } from './client'
import type { components } from './schema'

export type Message = components['schemas']['MessageView']
export type Session = components['schemas']['SessionView']
export type RunningJob = components['schemas']['RunningJob']

export interface Page {
  messages: Message[]
  nextCursor: string | null
}

/** With the job that is being answered there, whoever asked. */
export interface OpenPage extends Page {
  runningJob: RunningJob | null
}

const PAGE_MESSAGES = 100

/** Sends a question, or sends it again; the id of its job. */
export async function submit(sessionId: string, memo: Memo): Promise<string> {
  const headers = { 'Idempotency-Key': memo.key, Prefer: 'respond-async' }
  const accepted = await unwrap<unknown>(
    memo.kind === 'ask' ? ask(sessionId, memo, headers) : repeat(memo, headers),
  )
  return (accepted as { jobId: string }).jobId
}

function ask(sessionId: string, memo: Memo, headers: Record<string, string>) {
  const body = { message: memo.question, sessionId, stream: true, ...(memo.assistant ? { assistant: memo.assistant } : {}) }
  return api.POST('/api/chat', { body: body as never, headers })
}

function repeat(memo: Memo, headers: Record<string, string>) {
  const params = { path: { messageId: memo.messageId! } }
  return memo.kind === 'edit'
    ? api.POST('/api/chat/messages/{messageId}/edit', {
        params,
        body: { message: memo.question, stream: true } as never,
        headers,
      })
    : api.POST('/api/chat/messages/{messageId}/regenerate', { params, body: { stream: true } as never, headers })
}

export const cancel = (jobId: string) =>
  unwrap(api.POST('/api/chat/jobs/{jobId}/cancel', { params: { path: { jobId } } }))

export async function pageOf(sessionId: string, cursor?: string): Promise<OpenPage> {
  const found = await unwrap(
    api.GET('/api/chat/sessions/{sessionId}', {
      params: { path: { sessionId }, query: { limit: PAGE_MESSAGES, ...(cursor ? { cursor } : {}) } },
    }),
  )
  const { messages, runningJob } = found.session
  return { messages, runningJob, nextCursor: found.nextCursor }
}

/** Shows the branch on which a message lies. */
export const select = (messageId: string): Promise<Page> =>
  unwrap(api.POST('/api/chat/messages/{messageId}/select', { params: { path: { messageId } } }))

export async function newSession(): Promise<Session> {
  return (await unwrap(api.POST('/api/chat/sessions', { body: { title: '' } as never }))).session
}
