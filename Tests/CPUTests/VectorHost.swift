import Glibc
import Synchronization

@testable import CPU

/// Registers before and after one instruction.
struct VectorState: Equatable {
    /// 16 registers of four words.
    var vector = [UInt64](repeating: 0, count: 64)
    var gpr = [UInt64](repeating: 0, count: 16)
    var mmx = [UInt64](repeating: 0, count: 8)
    var flags: UInt64 = 2
    var mxcsr: UInt32 = 0x1F80
    /// 128 bytes around the memory operand.
    var memory = [UInt8](repeating: 0, count: VectorHost.memoryBytes)
    /// Exception, nil: none.
    var fault: Int?
}

/// The host runs one 64-bit instruction on given registers: the oracle for SIMD.
///
/// R15 points to the block of registers and RSI to the memory operand; the instruction must not use them otherwise, nor RSP. It is entered by
/// IRETQ, which serialises: its bytes were just written through another mapping.
final class VectorHost: @unchecked Sendable {
    static let memoryBytes = 256
    /// Where RSI points within the memory.
    static let origin = 128

    static let shared = VectorHost()
    static var isAble: Bool { CPUModel.level3.missingOnHost.isEmpty && shared != nil }
    /// Its code and memory lie at given addresses below 4 GiB, and it takes RSI and RDI from the state: for instructions that compute with
    /// addresses. nil: another mapping is in the way.
    static let placed = VectorHost(code: 0x4001_0000, memory: 0x4002_0000)

    private let code: UnsafeMutableRawPointer
    private let start: UInt
    private let block: UnsafeMutableRawPointer
    let memory: UnsafeMutableRawPointer
    private let stack: UnsafeMutableRawPointer
    private let isPlaced: Bool

    private enum At {
        static let vector: Int32 = 0, gpr: Int32 = 512, mmx: Int32 = 640, flags: Int32 = 704, mxcsr: Int32 = 712, rsp: Int32 = 720, host: Int32 = 728
        static let rip: Int32 = 736
    }
    static let instructionOffset = 1024
    private static let exitOffset = 2048
    nonisolated(unsafe) private static var range: (UInt, UInt) = (0, 0)
    nonisolated(unsafe) private static var faulted: Int = -1
    /// Whose handlers ours replaced: other oracles in this process get the faults that are not ours.
    nonisolated(unsafe) private static var previous: [Int32: sigaction] = [:]

    private init?() {
        guard let area = ExecutableCode.area(4096) else { return nil }
        (code, start) = (area.writable, area.executable)
        block = .allocate(byteCount: 4096, alignment: 4096)
        memory = .allocate(byteCount: VectorHost.memoryBytes, alignment: 4096)
        stack = .allocate(byteCount: 65536, alignment: 64)
        isPlaced = false
        write(entry(), at: 0)
        write(exit(), at: VectorHost.exitOffset)
    }

    private init?(code place: UInt, memory data: UInt) {
        guard let area = ExecutableCode.area(4096), let symbol = dlsym(nil, "mremap"), VectorHost.reserve(place, PROT_NONE),
            VectorHost.reserve(data, PROT_READ | PROT_WRITE), let found = UnsafeMutableRawPointer(bitPattern: data)
        else { return nil }
        // MREMAP_MAYMOVE | MREMAP_FIXED
        typealias Move = @convention(c) (UInt, Int, Int, Int32, UInt) -> UInt
        guard unsafeBitCast(symbol, to: Move.self)(area.executable, 4096, 4096, 3, place) == place else { return nil }
        (code, start, memory) = (area.writable, place, found)
        block = .allocate(byteCount: 4096, alignment: 4096)
        stack = .allocate(byteCount: 65536, alignment: 64)
        isPlaced = true
        write(entry(), at: 0)
        write(exit(), at: VectorHost.exitOffset)
    }

    /// Maps one page where nothing is mapped.
    private static func reserve(_ address: UInt, _ protection: Int32) -> Bool {
        let noReplace: Int32 = 0x10_0000
        let page = mmap(UnsafeMutableRawPointer(bitPattern: address), 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS | noReplace, -1, 0)
        return page == UnsafeMutableRawPointer(bitPattern: address)
    }

    private func write(_ bytes: [UInt8], at offset: Int) {
        bytes.withUnsafeBytes { (code + offset).copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
    }

    private static func dword(_ value: Int32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> Int32(8 * $0)) } }

    /// `opcode` with reg and [R15 + displacement]; REX or VEX bits are in the opcode already.
    private static func slot(_ opcode: [UInt8], _ reg: Int, _ at: Int32) -> [UInt8] { opcode + [0x80 | UInt8(reg & 7) << 3 | 7] + dword(at) }

    private static func ymm(_ store: Bool, _ n: Int) -> [UInt8] {
        // VEX.256.F3.0F 6F/7F with B = R15's bit.
        slot([0xC4, (n < 8 ? 0xC1 : 0x41), 0x7E, store ? 0x7F : 0x6F], n, At.vector + Int32(32 * n))
    }

    private func entry() -> [UInt8] {
        var c: [UInt8] = [0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x49, 0x89, 0xFF]  // push …; mov r15, rdi
        c += VectorHost.slot([0x49, 0x89], 4, At.rsp)
        c += VectorHost.slot([0x41, 0x0F, 0xAE], 3, At.host)
        for n in 0..<16 { c += VectorHost.ymm(false, n) }
        for n in 0..<8 { c += VectorHost.slot([0x41, 0x0F, 0x6F], n, At.mmx + Int32(8 * n)) }
        c += VectorHost.slot([0x41, 0x0F, 0xAE], 2, At.mxcsr)
        for n in 0..<15 where n != 4 { c += VectorHost.slot([n < 8 ? 0x49 : 0x4D, 0x8B], n, At.gpr + Int32(8 * n)) }
        c += [0x6A, 0x2B]  // push SS
        c += VectorHost.slot([0x41, 0xFF], 6, At.rsp)
        c += VectorHost.slot([0x41, 0xFF], 6, At.flags)
        c += [0x6A, 0x33]  // push CS
        c += VectorHost.slot([0x41, 0xFF], 6, At.rip)
        return c + [0x48, 0xCF]
    }

    private func exit() -> [UInt8] {
        var c: [UInt8] = []
        for n in 0..<15 where n != 4 { c += VectorHost.slot([n < 8 ? 0x49 : 0x4D, 0x89], n, At.gpr + Int32(8 * n)) }
        c += [0x9C] + VectorHost.slot([0x41, 0x8F], 0, At.flags)
        for n in 0..<16 { c += VectorHost.ymm(true, n) }
        for n in 0..<8 { c += VectorHost.slot([0x41, 0x0F, 0x7F], n, At.mmx + Int32(8 * n)) }
        c += VectorHost.slot([0x41, 0x0F, 0xAE], 3, At.mxcsr)
        c += VectorHost.slot([0x41, 0x0F, 0xAE], 2, At.host)
        return c + [0x0F, 0x77, 0xC5, 0xF8, 0x77, 0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B, 0xFC, 0xC3]
    }

    private func install() {
        for signal in [SIGSEGV, SIGFPE, SIGILL, SIGBUS] {
            var action = sigaction()
            action.__sigaction_handler.sa_sigaction = { signal, info, context in VectorHost.handle(signal, info, context) }
            action.sa_flags = Int32(truncatingIfNeeded: SA_SIGINFO) | SA_ONSTACK | SA_NODEFER
            var old = sigaction()
            sigaction(signal, &action, &old)
            let (mine, found) = (action.__sigaction_handler.sa_sigaction, old.__sigaction_handler.sa_sigaction)
            if unsafeBitCast(mine, to: UInt.self) != unsafeBitCast(found, to: UInt.self) { VectorHost.previous[signal] = old }
        }
    }

    /// `context` is a ucontext_t, whose gregs begin at byte 40; 16 is RIP, 20 the trap's number.
    private static func handle(_ signal: Int32, _ info: UnsafeMutablePointer<siginfo_t>?, _ context: UnsafeMutableRawPointer?) {
        guard let context else { return }
        let registers = (context + 40).assumingMemoryBound(to: UInt64.self)
        let rip = UInt(registers[16])
        guard rip >= range.0 && rip < range.1 else {
            if let old = previous[signal], let handler = old.__sigaction_handler.sa_sigaction { return handler(signal, info, context) }
            var action = sigaction()
            sigaction(signal, &action, nil)
            return
        }
        faulted = Int(registers[20])
        registers[16] = UInt64(range.0) + UInt64(exitOffset)
    }

    /// Suites run beside one another; the handler's variables are one set.
    private static let turn = Mutex(())

    func run(_ instruction: [UInt8], _ state: VectorState) -> VectorState { VectorHost.turn.withLock { _ in runAlone(instruction, state) } }

    private func runAlone(_ instruction: [UInt8], _ state: VectorState) -> VectorState {
        // Another oracle may have put its handlers back since; the alternate stack belongs to the thread.
        VectorHost.range = (start, start + 4096)
        install()
        var alternate = stack_t()
        var previous = stack_t()
        alternate.ss_sp = stack
        alternate.ss_size = 65536
        sigaltstack(&alternate, &previous)
        defer {
            if previous.ss_sp == nil { previous.ss_flags = 2 }
            sigaltstack(&previous, nil)
        }
        let distance = Int32(VectorHost.exitOffset - VectorHost.instructionOffset - instruction.count - 5)
        write(instruction + [0xE9] + VectorHost.dword(distance), at: VectorHost.instructionOffset)
        for n in 0..<64 { block.storeBytes(of: state.vector[n], toByteOffset: 8 * n, as: UInt64.self) }
        for n in 0..<16 { block.storeBytes(of: state.gpr[n], toByteOffset: Int(At.gpr) + 8 * n, as: UInt64.self) }
        if !isPlaced {
            let pointer = UInt64(UInt(bitPattern: memory)) + UInt64(VectorHost.origin)
            block.storeBytes(of: pointer, toByteOffset: Int(At.gpr) + 8 * 6, as: UInt64.self)
            block.storeBytes(of: pointer, toByteOffset: Int(At.gpr) + 8 * 7, as: UInt64.self)
        }
        for n in 0..<8 { block.storeBytes(of: state.mmx[n], toByteOffset: Int(At.mmx) + 8 * n, as: UInt64.self) }
        block.storeBytes(of: state.flags | 0x202, toByteOffset: Int(At.flags), as: UInt64.self)
        block.storeBytes(of: state.mxcsr, toByteOffset: Int(At.mxcsr), as: UInt32.self)
        block.storeBytes(of: UInt64(start) + UInt64(VectorHost.instructionOffset), toByteOffset: Int(At.rip), as: UInt64.self)
        state.memory.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: VectorHost.memoryBytes) }
        VectorHost.faulted = -1
        typealias Routine = @convention(c) (UnsafeMutableRawPointer) -> Void
        unsafeBitCast(UnsafeRawPointer(bitPattern: start)!, to: Routine.self)(block)
        var end = VectorState()
        for n in 0..<64 { end.vector[n] = block.load(fromByteOffset: 8 * n, as: UInt64.self) }
        for n in 0..<16 { end.gpr[n] = block.load(fromByteOffset: Int(At.gpr) + 8 * n, as: UInt64.self) }
        for n in isPlaced ? [4, 15] : [4, 6, 7, 15] { end.gpr[n] = state.gpr[n] }
        for n in 0..<8 { end.mmx[n] = block.load(fromByteOffset: Int(At.mmx) + 8 * n, as: UInt64.self) }
        end.flags = block.load(fromByteOffset: Int(At.flags), as: UInt64.self) & 0x8D5 | 2
        end.mxcsr = block.load(fromByteOffset: Int(At.mxcsr), as: UInt32.self)
        end.memory = [UInt8](UnsafeRawBufferPointer(start: memory, count: VectorHost.memoryBytes))
        end.fault = VectorHost.faulted < 0 ? nil : VectorHost.faulted
        return end
    }
}
