//! Compiles the contract without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        ["admin", "kv", "metadata", "node", "node_admin", "raft", "registry", "types"]
            .map(|file| format!("cairn/v1/{file}.proto")),
        ["proto"],
    )?;
    tonic_prost_build::configure().bytes(".").codec_path("crate::transport::MessageCodec").compile_fds(descriptors)?;
    Ok(())
}
