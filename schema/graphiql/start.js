// Starts GraphiQL against the graph that serves this page. A key goes under "Headers".
const exampleQuery = `# The best customers, and what they bought last.
# A server with API keys wants one under "Headers": {"Authorization": "Bearer cdp_..."}
query BestCustomers {
  customers(first: 10, orderBy: [{ field: PURCHASES_NET_SPEND, direction: DESC }]) {
    nodes {
      name
      email
      purchases { orderCount netSpend lastOrderAt }
      lifecycle { stage }
      orders(first: 3) { nodes { placedAt total currency source } }
    }
  }
}
`;

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({
      url: "/graphql",
      subscriptionUrl: `${window.location.origin.replace(/^http/, "ws")}/graphql`,
    }),
    defaultQuery: new URLSearchParams(window.location.search).get("query") ?? exampleQuery,
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }),
);
