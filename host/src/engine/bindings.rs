//! The types and calls of `wit/`, generated: nobody retypes a record by hand.

#![allow(missing_docs, reason = "generated; the documentation stands in wit/")]
#![allow(clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "backup",
    // The WASI implementation needs a store whose data can move between threads.
    require_store_data_send: true,
    additional_derives: [PartialEq],
});
