//! Arbitrary bytes as a safetensors file: header, layout, and every tensor's bytes.
#![no_main]

use std::io::{Cursor, Write as _};

use libfuzzer_sys::fuzz_target;
use vv_eval::model::safetensors::SafeTensors;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = SafeTensors::open(Cursor::new(bytes)).map_err(|error| error.to_string())
    else {
        return;
    };
    // What a header places is in the file, and all of it together is the file.
    let total: u64 = header
        .tensors()
        .values()
        .map(|info| info.data_offsets[1] - info.data_offsets[0])
        .sum();
    assert!(total + 8 <= bytes.len() as u64, "tensors lie in the file");

    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let container = SafeTensors::open(file).expect("as from memory");
    assert_eq!(container.tensors(), header.tensors(), "as from memory");
    for (name, info) in container.tensors() {
        let n: usize = info.shape.iter().product();
        let mut raw = vec![0; n * info.dtype.size()];
        container
            .read_at(name, 0, &mut raw)
            .expect("the tensor is in the file");
        if info.dtype.is_float() {
            let mut values = vec![0.0; n];
            info.dtype.widen(&raw, &mut values);
        }
    }
});
