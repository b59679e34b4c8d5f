import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("board · memory map") struct PCMemoryTests {
    private func byte(_ bench: Bench, _ address: Physical) -> UInt8 { bench.pc.memory.load(address, as: UInt8.self) }

    @Test("after reset the BIOS is at 4 GiB and its last 128 KiB at E0000; writes to it vanish")
    func bios() throws {
        let bench = try Bench()
        #expect(byte(bench, 0xFFFC_0000) == 0)
        #expect(byte(bench, 0xFFFF_FFFF) == 255)
        #expect(byte(bench, 0xE_0000) == 128)
        #expect(byte(bench, 0xF_FFFF) == 255)
        bench.pc.memory.store(0xF_0000, UInt8(7))
        bench.pc.memory.store(0xFFFF_0000, UInt8(7))
        #expect(byte(bench, 0xF_0000) == 192)
        #expect(byte(bench, 0xFFFF_0000) == 192)
        #expect(byte(bench, 0xC_0000) == 0xFF, "no ROM and no RAM there before PAM is opened")
    }

    @Test("a 64 KiB image answers at F0000 only") func smallBIOS() throws {
        let bench = try Bench { $0.bios = [UInt8](repeating: 0x5A, count: 64 << 10) }
        #expect(byte(bench, 0xF_0000) == 0x5A)
        #expect(byte(bench, 0xE_FFFF) == 0xFF)
        #expect(byte(bench, 0xFFFF_0000) == 0x5A)
        #expect(byte(bench, 0xFFFE_FFFF) == 0xFF)
    }

    @Test("PAM switches reads and writes of a segment separately") func pam() throws {
        let bench = try Bench()
        bench.setConfig(0, 0, 0x59, size: 1, 0x20)  // F0000: write RAM, read ROM
        bench.pc.memory.store(0xF_1234, UInt8(0x77))
        #expect(byte(bench, 0xF_1234) == 196)
        bench.setConfig(0, 0, 0x59, size: 1, 0x10)  // read RAM, writes dropped
        #expect(byte(bench, 0xF_1234) == 0x77)
        bench.pc.memory.store(0xF_1234, UInt8(0x11))
        #expect(byte(bench, 0xF_1234) == 0x77)
        bench.setConfig(0, 0, 0x59, size: 1, 0x30)
        bench.pc.memory.store(0xF_1234, UInt8(0x22))
        #expect(byte(bench, 0xF_1234) == 0x22)

        bench.setConfig(0, 0, 0x5A, size: 1, 0x03)  // C0000–C3FFF only
        bench.pc.memory.store(0xC_0000, UInt8(0x33))
        bench.pc.memory.store(0xC_4000, UInt8(0x44))
        #expect(byte(bench, 0xC_0000) == 0x33)
        #expect(byte(bench, 0xC_4000) == 0xFF)
        bench.setConfig(0, 0, 0x5E, size: 1, 0x33)  // E0000–E7FFF
        bench.pc.memory.store(0xE_7FFF, UInt8(0x55))
        #expect(byte(bench, 0xE_7FFF) == 0x55)
        #expect(byte(bench, 0xE_8000) == 160, "the next segment still shows ROM")
        bench.pc.reset()
        #expect(byte(bench, 0xF_1234) == 196, "reset shows ROM again")
    }

    @Test("SMRAM opens over the VGA window and locks shut") func smram() throws {
        let bench = try Bench()
        bench.setConfig(0, 0, 0x72, size: 1, 0x4A)
        bench.pc.memory.store(0xA_0010, UInt8(0x99))
        #expect(byte(bench, 0xA_0010) == 0x99)
        bench.setConfig(0, 0, 0x72, size: 1, 0x1A)
        #expect(bench.pc.memory.page(0xA_0000).read == -1)
        bench.setConfig(0, 0, 0x72, size: 1, 0x4A)
        #expect(bench.config(0, 0, 0x72, size: 1) == 0x1A)
    }

    @Test("frame buffer and expansion ROM follow their base addresses") func video() throws {
        let bench = try Bench()
        #expect(bench.pc.memory.page(0xFD00_0000).read == -1)
        bench.setConfig(2, 0, 0x10, 0xFFFF_FFFF)
        #expect(bench.config(2, 0, 0x10) == 0xFF00_0008)
        bench.setConfig(2, 0, 0x10, 0xFD00_0000)
        bench.setConfig(2, 0, 0x30, 0xFEBF_0001)
        bench.setConfig(2, 0, 0x04, size: 2, 3)
        bench.pc.memory.store(0xFD12_3456, UInt32(0xCAFE_F00D))
        #expect(bench.pc.memory.load(0xFD12_3456, as: UInt32.self) == 0xCAFE_F00D)
        #expect(bench.pc.memory.load(0xFEBF_0000, as: UInt32.self) == 0x4250_AA55)
        bench.setConfig(2, 0, 0x30, 0xFEBF_0000)
        #expect(bench.pc.memory.page(0xFEBF_0000).read == -1)
        bench.setConfig(2, 0, 0x04, size: 2, 0)
        #expect(bench.pc.memory.page(0xFD00_0000).read == -1)
    }

    @Test("RAM beyond the hole continues at 4 GiB", .enabled(if: Int.bitWidth == 64)) func high() throws {
        let bench = try Bench { $0.ramMiB = 4096 }
        bench.pc.memory.store(0x1_0000_0000, UInt32(0x1234_5678))
        #expect(bench.pc.memory.load(0x1_0000_0000, as: UInt32.self) == 0x1234_5678)
        #expect(bench.pc.memory.page(0xDFFF_F000).read == 0xDFFF_F000)
        #expect(bench.pc.memory.page(0x1_0000_0000).read == 0xE000_0000)
        #expect(bench.pc.memory.page(0x1_2000_0000).read == -1)
        bench.out(0x70, 0x5C)
        #expect(bench.input(0x71) == 0x20, "512 MiB above 4 GiB in units of 64 KiB: 2000h")
    }

    @Test("A20 from port 92 wraps the second megabyte, and both its gates show the line") func a20() throws {
        let bench = try Bench()
        bench.pc.memory.store(0x500, UInt8(1))
        bench.pc.memory.store(0x10_0500, UInt8(2))
        bench.out(0x92, 0)
        #expect(byte(bench, 0x10_0500) == 1)
        bench.out(0x64, 0xDF)
        #expect(byte(bench, 0x10_0500) == 2)
        #expect(bench.input(0x92) & 2 == 2)
    }
}
