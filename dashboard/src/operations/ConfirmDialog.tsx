import { useEffect, useRef } from "preact/hooks";

interface ConfirmDialogProps {
  question: string;
  about: string;
  yes: string;
  no: string;
  onAnswer: (sure: boolean) => void;
}

/** Asks for confirmation of an irreversible action. Escape cancels. */
export function ConfirmDialog({ question, about, yes, no, onAnswer: done }: ConfirmDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  return (
    <dialog ref={dialog} class="confirm" aria-labelledby="question" onClose={() => done(false)}>
      <h2 id="question">{question}</h2>
      <p>{about}</p>
      <footer>
        <button type="button" onClick={() => done(false)}>
          {no}
        </button>
        <button type="button" class="danger" onClick={() => done(true)}>
          {yes}
        </button>
      </footer>
    </dialog>
  );
}
