import { useEffect, useRef } from "preact/hooks";

interface Question {
  question: string;
  about: string;
  yes: string;
  no: string;
  done: (sure: boolean) => void;
}

/** Asks before something that cannot be taken back; Escape is no. */
export function Confirm({ question, about, yes, no, done }: Question) {
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
