"""What is asked of Shopify's Admin GraphQL API, version 2026-01."""

from typing import Final

VERSION: Final = "2026-01"
LINES_PAGE: Final = 10  # in a list of orders: most have fewer, and each costs points for all
REFUNDS_PAGE: Final = 5
WHOLE_PAGE: Final = 100  # of one order that has more

MONEY: Final = "{ shopMoney { amount currencyCode } }"

LINE: Final = f"""
  id title sku quantity product {{ id productType }}
  originalUnitPriceSet {MONEY} totalDiscountSet {MONEY}
"""

REFUND: Final = f"id createdAt note totalRefundedSet {MONEY}"

CUSTOMERS: Final = """
query Customers($first: Int!, $after: String, $query: String) {
  found: customers(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id firstName lastName locale tags state verifiedEmail createdAt updatedAt
      defaultEmailAddress { emailAddress marketingState marketingOptInLevel marketingUpdatedAt }
      defaultPhoneNumber { phoneNumber marketingState marketingOptInLevel marketingUpdatedAt }
      defaultAddress { address1 address2 city province zip countryCodeV2 }
    }
  }
}
"""

ORDERS: Final = f"""
query Orders($first: Int!, $after: String, $query: String) {{
  found: orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{
      id name email phone test sourceName tags
      createdAt processedAt updatedAt cancelledAt cancelReason
      currencyCode displayFinancialStatus displayFulfillmentStatus
      customer {{ id }}
      totalPriceSet {MONEY} totalDiscountsSet {MONEY} totalTaxSet {MONEY}
      totalShippingPriceSet {MONEY}
      lineItems(first: {LINES_PAGE}) {{
        pageInfo {{ hasNextPage endCursor }}
        nodes {{ {LINE} }}
      }}
      refunds(first: {REFUNDS_PAGE}) {{ {REFUND} }}
    }}
  }}
}}
"""

MORE_LINES: Final = f"""
query Lines($id: ID!, $after: String) {{
  order(id: $id) {{
    lineItems(first: {WHOLE_PAGE}, after: $after) {{
      pageInfo {{ hasNextPage endCursor }}
      nodes {{ {LINE} }}
    }}
  }}
}}
"""

ALL_REFUNDS: Final = f"""
query Refunds($id: ID!) {{
  order(id: $id) {{ refunds(first: {WHOLE_PAGE}) {{ {REFUND} }} }}
}}
"""

PRODUCTS: Final = """
query Products($first: Int!, $after: String, $query: String) {
  found: products(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id title vendor productType status tags createdAt updatedAt
      priceRangeV2 { minVariantPrice { amount currencyCode } }
      variants(first: 1) { nodes { sku } }
    }
  }
}
"""

SHOP: Final = """
query Shop {
  shop { name myshopifyDomain currencyCode }
  currentAppInstallation { accessScopes { handle } }
}
"""
