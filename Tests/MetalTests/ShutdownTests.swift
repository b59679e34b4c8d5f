import Hardware
import Testing

/// Ways to kill a guest: `shutdown.asm` with CASE, and the sentence of its Guru Meditation.
@Suite("metal · shutdown", .enabled(if: MetalBench.assembler != nil, "nasm is not installed: apt-get install nasm"))
struct ShutdownTests {
    static let ways: [(name: String, sentence: String)] = [
        (
            "no IDT",
            "triple fault: #GP while delivering #DF, because the IDT limit is 0; it began with #UD (bytes 0f 0b ff 35) at "
                + "0008:0001164c"
        ),
        (
            "no stack for ring 0",
            "triple fault: #TS while delivering #DF, because the stack selector in the TSS is null; it began with #UD (bytes 0f 0b "
                + "ff 35) at 001b:0001165f"
        ),
        (
            "page tables gone",
            "triple fault: #PF while delivering #DF, because IDT entry 8 at 0x11980 is on a page that is not mapped; before that "
                + "#PF while delivering #PF, because IDT entry 14 at 0x119b0 is on a page that is not mapped; it began with #PF "
                + "executing 0x1165e (not mapped) at 0008:0001165e"
        ),
        (
            "SP 1 in real mode",
            "triple fault: #SS while delivering #DF, because the stack pointer 0x1 leaves no room within the stack segment, whose "
                + "limit is 0xffff; it began with #SS at 1000:1666"
        ),
        (
            "absent handlers",
            "triple fault: #NP while delivering #DF, because IDT entry 8 is not present; before that #NP while delivering #GP, "
                + "because IDT entry 13 is not present; it began with #GP(0x7f00) at 0008:0001166d"
        ),
        (
            "a jump into the void",
            "triple fault: #GP while delivering #DF, because IDT entry 8 lies beyond the IDT limit 0x2f; before that #GP while "
                + "delivering #GP, because IDT entry 13 lies beyond the IDT limit 0x2f; before that #GP while delivering #UD, because "
                + "IDT entry 6 lies beyond the IDT limit 0x2f; it began with #UD where no memory is at 0008:40000000"
        ),
        (
            "a small stack segment",
            "triple fault: #SS while delivering #DF, because the stack pointer 0x2f000 leaves no room within the stack segment, "
                + "whose limit is 0xffff; it began with #SS at 0008:0001165e"
        ),
        (
            "bad task gates",
            "triple fault: #GP while delivering #DF, because TSS selector 0x8 of the task gate in IDT entry 8 names no TSS; before "
                + "that #GP while delivering #TS, because TSS selector 0x50 of the task gate in IDT entry 10 names no TSS; before that "
                + "#TS while delivering #UD, because the TSS of IDT entry 6's task gate is too short: its limit is 0x2b; it began with "
                + "#UD (bytes 0f 0b ff 35) at 0008:0001168b"
        ),
        (
            "handlers beyond the GDT",
            "triple fault: #GP while delivering #DF, because code selector 0x10 of IDT entry 8 names no code segment; before that "
                + "#GP while delivering #GP, because code selector 0x7f8 of IDT entry 13 lies beyond the GDT limit 0x1ff; before that "
                + "#GP while delivering #BR, because code selector 0x7f8 of IDT entry 5 lies beyond the GDT limit 0x1ff; it began with "
                + "#BR at 0008:00011689"
        ),
        (
            "no page for the stack",
            "triple fault: #PF while delivering #DF, because the stack at 0x2047fc is on a page that is not mapped for writing; it "
                + "began with #PF writing 0x2047fc (not mapped) at 0008:0001166c"
        ),
        (
            "a stack pointer that is not canonical",
            "triple fault: #SS while delivering #DF, because the stack pointer 0x8000000000001000 is not canonical; it began with "
                + "#SS at 0050:00000000000116fd"
        ),
        (
            "odd gates",
            "triple fault: #GP while delivering #DF, because IDT entry 8 is empty; before that #GP while delivering #GP, because "
                + "the handler's offset 0x1234 lies beyond the limit of its code segment; before that #GP while delivering #UD, because "
                + "IDT entry 6 is of type 0x12, which is no gate for events; it began with #UD (bytes 0f 0b ff 35) at 0008:0001168e"
        ),
    ]

    @Test("each way to die has its sentence, interpreted and translated", arguments: ways.indices, [false, true])
    func sentence(_ way: Int, _ translated: Bool) throws {
        let report = try MetalBench.run(try MetalBench.assemble("shutdown", defines: ["CASE=\(way)"]), translated: translated, model: "x86-64-v2")
        #expect(report.passed.count == 1 && report.lines.count == 1, "\(report.lines)")
        guard case .shutdown(let sentence) = report.stop else {
            Issue.record("ended with \(report.stop)")
            return
        }
        #expect(sentence == ShutdownTests.ways[way].sentence, "\(way): \(ShutdownTests.ways[way].name)")
    }
}
