import { useRef } from "preact/hooks";

interface Props {
  name: string;
  accept: string;
  disabled: boolean;
  onText: (text: string) => void;
}

/** A button that opens a file dialog and reads the file as text. */
export function FileButton({ name, accept, disabled, onText }: Props) {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" disabled={disabled} aria-describedby="reason" onClick={() => field.current?.click()}>
        {name}
      </button>
      <input
        ref={field}
        type="file"
        hidden
        accept={accept}
        onChange={async ({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file) onText(await file.text());
          // Without this, choosing the same file again would not fire a change.
          currentTarget.value = "";
        }}
      />
    </>
  );
}
