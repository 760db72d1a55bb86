import { createApp } from "vue";
import Prices from "./Prices.vue";

const server = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8000";
createApp(Prices, { server, symbols: "AAPL,MSFT" }).mount("#app");
