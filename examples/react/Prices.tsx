import { type Quote, TickwireClient } from "@tickwire/client";
import { useEffect, useState } from "react";

/** The newest price of each symbol, rendered once per animation frame at most. */
export function Prices({ server, symbols }: { server: string; symbols: string }) {
  const [quotes, setQuotes] = useState<ReadonlyMap<string, Quote>>(new Map());
  useEffect(() => {
    const client = new TickwireClient({ server, symbols: symbols.split(",") });
    client.onFrame((changed) => setQuotes((previous) => new Map([...previous, ...changed])));
    return () => client.close();
  }, [server, symbols]);
  return (
    <ul>
      {[...quotes.values()].map(({ symbol, last }) => (
        <li key={symbol}>
          {symbol}: {last}
        </li>
      ))}
    </ul>
  );
}
