import Hardware
import Testing

/// The bare-metal images: each check of an image is a line of its own, with what was expected and what was found.
///
/// To see an image elsewhere: `nasm -f bin -o x.bin x.asm` in `Tests/Fixtures/Metal`, then
/// `qemu-system-i386 -bios x.bin -debugcon stdio -device isa-debug-exit,iobase=0xf4`, or Bochs with `port_e9_hack: enabled=1`.
/// QEMU's translator checks neither limits nor segment types, so some checks fail there by design.
@Suite("metal", .enabled(if: MetalBench.assembler != nil, "nasm is not installed: apt-get install nasm"))
struct MetalTests {
    /// Image and number of its checks.
    static let images: [(name: String, checks: Int)] = [
        ("segments", 0)
    ]

    @Test("every check of the image holds", arguments: images.map(\.name)) func checks(_ name: String) throws {
        let report = try MetalBench.run(try MetalBench.assemble(name))
        for complaint in report.complaints { Issue.record("\(name): \(complaint)") }
        let expected = MetalTests.images.first { $0.name == name }?.checks
        #expect(report.total == expected, "end marker of \(name); last line: \(report.lines.last ?? "none"); \(report.stop)")
        #expect(report.passed.count == expected, "passed checks of \(name)")
        #expect(report.stop == .debugExit(1), "\(name) ended with \(report.stop)")
    }

    @Test("the images hold at least 300 checks, each with a name of its own") func total() throws {
        #expect(MetalTests.images.map(\.checks).reduce(0, +) >= 300)
    }
}
