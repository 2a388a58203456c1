//! Compiles what the benchmark asks of its peers without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FOLDER: &str = "bench/peers";
    println!("cargo:rerun-if-changed={FOLDER}/etcd.proto");
    let descriptors = protox::compile(["etcd.proto"], [FOLDER])?;
    // As the clients of Cairn, so that both cost the same.
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .codec_path("cairn_proto::transport::MessageCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
