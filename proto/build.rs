//! Compiles `schema/` without a protoc on the machine, and lists every method so that `certs` can prove its access table complete.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

const FILES: [&str; 5] = [
    "exhibit/v1/agent.proto",
    "exhibit/v1/enrol.proto",
    "exhibit/v1/mirror.proto",
    "exhibit/v1/responder.proto",
    "exhibit/v1/store.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["schema"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let set = compiler.file_descriptor_set();

    let mut methods =
        String::from("/// Every method of every service, as the path gRPC calls it by, in schema order.\n");
    methods.push_str("pub const METHODS: &[&str] = &[\n");
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                writeln!(methods, "    \"/{}.{}/{}\",", file.package(), service.name(), method.name())?;
            }
        }
    }
    methods.push_str("];\n");
    fs_err::write(out.join("methods.rs"), methods)?;
    fs_err::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // `bytes` fields become `bytes::Bytes`: decoding a chunk of evidence borrows from the frame and copies nothing.
    tonic_prost_build::configure().bytes(".").build_client(true).build_server(true).compile_fds(set)?;
    Ok(())
}
