import { createRoot } from "react-dom/client";
import { Prices } from "./Prices.tsx";

const server = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8000";
createRoot(document.getElementById("app") as HTMLElement).render(<Prices server={server} symbols="AAPL,MSFT" />);
