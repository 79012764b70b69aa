"""The part of Shopify's Admin GraphQL schema that the emulator answers, as SDL.

Names, nullability and deprecations follow shopify.dev/docs/api/admin-graphql (2025-10). An object
is put in this very shape, with connections as plain lists; what an object leaves out reads as null,
or as the default below where the schema allows no null.
"""

from connectors.sandbox.state import Item

SDL = """
scalar DateTime
scalar Decimal
scalar Money
scalar URL
scalar UnsignedInt64
scalar JSON

interface Node { id: ID! }

type PageInfo {
  hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String
}
type MoneyV2 { amount: Decimal! currencyCode: String! }
type MoneyBag { shopMoney: MoneyV2! presentmentMoney: MoneyV2! }
type Attribute { key: String! value: String }
type Count { count: Int! precision: CountPrecision! }
enum CountPrecision { EXACT AT_LEAST }

type Shop implements Node {
  id: ID! name: String! email: String! currencyCode: String! myshopifyDomain: String!
  ianaTimezone: String!
}

type MailingAddress implements Node {
  id: ID! firstName: String lastName: String name: String company: String address1: String
  address2: String city: String province: String provinceCode: String zip: String country: String
  countryCodeV2: String phone: String
}

type CustomerEmailAddress {
  emailAddress: String! marketingState: String! marketingOptInLevel: String
  marketingUpdatedAt: DateTime validFormat: Boolean!
}
type CustomerPhoneNumber {
  phoneNumber: String! marketingState: String! marketingOptInLevel: String
  marketingUpdatedAt: DateTime
}
type CustomerEmailMarketingConsentState {
  marketingState: String! marketingOptInLevel: String consentUpdatedAt: DateTime
}
type CustomerSmsMarketingConsentState {
  marketingState: String! marketingOptInLevel: String! consentUpdatedAt: DateTime
}

type Customer implements Node {
  id: ID! legacyResourceId: UnsignedInt64! firstName: String lastName: String displayName: String!
  email: String @deprecated(reason: "Use defaultEmailAddress.emailAddress")
  phone: String @deprecated(reason: "Use defaultPhoneNumber.phoneNumber")
  defaultEmailAddress: CustomerEmailAddress
  defaultPhoneNumber: CustomerPhoneNumber
  emailMarketingConsent: CustomerEmailMarketingConsentState
    @deprecated(reason: "Use defaultEmailAddress")
  smsMarketingConsent: CustomerSmsMarketingConsentState
    @deprecated(reason: "Use defaultPhoneNumber")
  defaultAddress: MailingAddress
  addresses(first: Int): [MailingAddress!]! @deprecated(reason: "Use addressesV2")
  addressesV2(first: Int, after: String): MailingAddressConnection!
  locale: String! note: String tags: [String!]! state: String! taxExempt: Boolean!
  verifiedEmail: Boolean! numberOfOrders: UnsignedInt64! amountSpent: MoneyV2!
  createdAt: DateTime! updatedAt: DateTime!
}
type MailingAddressConnection {
  edges: [MailingAddressEdge!]! nodes: [MailingAddress!]! pageInfo: PageInfo!
}
type MailingAddressEdge { cursor: String! node: MailingAddress! }
type CustomerConnection { edges: [CustomerEdge!]! nodes: [Customer!]! pageInfo: PageInfo! }
type CustomerEdge { cursor: String! node: Customer! }

type ProductVariant implements Node {
  id: ID! legacyResourceId: UnsignedInt64! title: String! displayName: String! sku: String
  barcode: String price: Money! compareAtPrice: Money position: Int! inventoryQuantity: Int
  createdAt: DateTime! updatedAt: DateTime!
}
type ProductVariantConnection {
  edges: [ProductVariantEdge!]! nodes: [ProductVariant!]! pageInfo: PageInfo!
}
type ProductVariantEdge { cursor: String! node: ProductVariant! }
type TaxonomyCategory implements Node { id: ID! name: String! fullName: String! }
type ProductPriceRangeV2 { minVariantPrice: MoneyV2! maxVariantPrice: MoneyV2! }
type Product implements Node {
  id: ID! legacyResourceId: UnsignedInt64! title: String! handle: String! vendor: String!
  productType: String! category: TaxonomyCategory status: String! tags: [String!]!
  description: String! totalInventory: Int! priceRangeV2: ProductPriceRangeV2!
  createdAt: DateTime! updatedAt: DateTime! publishedAt: DateTime
  variants(first: Int, after: String): ProductVariantConnection!
}
type ProductConnection { edges: [ProductEdge!]! nodes: [Product!]! pageInfo: PageInfo! }
type ProductEdge { cursor: String! node: Product! }

type DiscountAllocation { allocatedAmountSet: MoneyBag! }
type LineItem implements Node {
  id: ID! title: String! name: String! variantTitle: String sku: String vendor: String
  quantity: Int! currentQuantity: Int! product: Product variant: ProductVariant
  customAttributes: [Attribute!]!
  originalUnitPriceSet: MoneyBag! discountedUnitPriceSet: MoneyBag! originalTotalSet: MoneyBag!
  discountedTotalSet: MoneyBag! totalDiscountSet: MoneyBag!
  discountAllocations: [DiscountAllocation!]!
}
type LineItemConnection { edges: [LineItemEdge!]! nodes: [LineItem!]! pageInfo: PageInfo! }
type LineItemEdge { cursor: String! node: LineItem! }

type RefundLineItem {
  id: ID quantity: Int! restockType: String! lineItem: LineItem! subtotalSet: MoneyBag!
  totalTaxSet: MoneyBag!
}
type RefundLineItemConnection {
  edges: [RefundLineItemEdge!]! nodes: [RefundLineItem!]! pageInfo: PageInfo!
}
type RefundLineItemEdge { cursor: String! node: RefundLineItem! }
type Refund implements Node {
  id: ID! legacyResourceId: UnsignedInt64! createdAt: DateTime updatedAt: DateTime! note: String
  totalRefundedSet: MoneyBag!
  refundLineItems(first: Int, after: String): RefundLineItemConnection!
}

type ChannelDefinition implements Node { id: ID! handle: String! channelName: String! }
type ChannelInformation implements Node {
  id: ID! channelId: ID! displayName: String channelDefinition: ChannelDefinition
}
type Location implements Node { id: ID! name: String! }

type Order implements Node {
  id: ID! legacyResourceId: UnsignedInt64! name: String! email: String phone: String
  customer: Customer customerLocale: String createdAt: DateTime! processedAt: DateTime!
  updatedAt: DateTime! cancelledAt: DateTime cancelReason: String closedAt: DateTime
  closed: Boolean! confirmed: Boolean! test: Boolean! note: String tags: [String!]!
  currencyCode: String! presentmentCurrencyCode: String! taxesIncluded: Boolean!
  sourceName: String sourceIdentifier: String channelInformation: ChannelInformation
  retailLocation: Location discountCode: String discountCodes: [String!]!
  customAttributes: [Attribute!]!
  displayFinancialStatus: String displayFulfillmentStatus: String!
  subtotalLineItemsQuantity: Int! shippingAddress: MailingAddress billingAddress: MailingAddress
  subtotalPriceSet: MoneyBag totalPriceSet: MoneyBag! totalDiscountsSet: MoneyBag
  totalTaxSet: MoneyBag totalShippingPriceSet: MoneyBag! totalRefundedSet: MoneyBag!
  totalTipReceivedSet: MoneyBag currentSubtotalPriceSet: MoneyBag!
  currentTotalPriceSet: MoneyBag! currentTotalDiscountsSet: MoneyBag!
  currentTotalTaxSet: MoneyBag! netPaymentSet: MoneyBag!
  lineItems(first: Int, after: String): LineItemConnection!
  refunds(first: Int): [Refund!]!
}
type OrderConnection { edges: [OrderEdge!]! nodes: [Order!]! pageInfo: PageInfo! }
type OrderEdge { cursor: String! node: Order! }

enum CustomerSortKeys { CREATED_AT ID LOCATION NAME RELEVANCE UPDATED_AT }
enum OrderSortKeys {
  CREATED_AT CUSTOMER_NAME DESTINATION FINANCIAL_STATUS FULFILLMENT_STATUS ID ORDER_NUMBER
  PO_NUMBER PROCESSED_AT RELEVANCE TOTAL_ITEMS_QUANTITY TOTAL_PRICE UPDATED_AT
}
enum ProductSortKeys {
  CREATED_AT ID INVENTORY_TOTAL PRODUCT_TYPE PUBLISHED_AT RELEVANCE TITLE UPDATED_AT VENDOR
}

type AccessScope { handle: String! description: String! }
type AppInstallation implements Node { id: ID! accessScopes: [AccessScope!]! }

type QueryRoot {
  shop: Shop!
  currentAppInstallation: AppInstallation!
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  customer(id: ID!): Customer
  order(id: ID!): Order
  product(id: ID!): Product
  customers(first: Int, after: String, query: String, reverse: Boolean = false,
            sortKey: CustomerSortKeys = ID): CustomerConnection!
  orders(first: Int, after: String, query: String, reverse: Boolean = false,
         sortKey: OrderSortKeys = PROCESSED_AT): OrderConnection!
  products(first: Int, after: String, query: String, reverse: Boolean = false,
           sortKey: ProductSortKeys = ID): ProductConnection!
  customersCount(query: String): Count
  ordersCount(query: String): Count
  productsCount(query: String): Count
}
schema { query: QueryRoot }
"""

_CUSTOMER_DEFAULTS: Item = {
    "locale": "en",
    "tags": [],
    "state": "DISABLED",
    "taxExempt": False,
    "verifiedEmail": True,
    "numberOfOrders": "0",
    "addresses": [],
}
_ORDER_DEFAULTS: Item = {
    "closed": False,
    "confirmed": True,
    "test": False,
    "tags": [],
    "taxesIncluded": False,
    "discountCodes": [],
    "customAttributes": [],
    "displayFulfillmentStatus": "UNFULFILLED",
    "lineItems": [],
    "refunds": [],
}
_PRODUCT_DEFAULTS: Item = {
    "vendor": "",
    "productType": "",
    "status": "ACTIVE",
    "tags": [],
    "description": "",
    "totalInventory": 0,
    "variants": [],
}
_LINE_DEFAULTS: Item = {"customAttributes": [], "discountAllocations": []}

DEFAULTS: dict[str, Item] = {
    "customers": _CUSTOMER_DEFAULTS,
    "orders": _ORDER_DEFAULTS,
    "products": _PRODUCT_DEFAULTS,
    "lines": _LINE_DEFAULTS,
}
"""What a missing field reads as, by kind, where the schema allows no null."""

SHOP: Item = {
    "id": "gid://shopify/Shop/1",
    "name": "Sandbox shop",
    "email": "shop@example.com",
    "currencyCode": "USD",
    "myshopifyDomain": "sandbox.example.com",
    "ianaTimezone": "Etc/UTC",
}
"""What `shop` answers."""
