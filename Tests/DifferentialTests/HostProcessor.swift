import Glibc

/// The host's own processor running 16- and 32-bit user code: the oracle.
///
/// A thunk in a page below 4 GiB stores the 64-bit state, loads the x87 by FRSTOR and the general registers, and enters the code by IRETQ
/// to Linux's 32-bit code segment (selector 0x23, compatibility mode). The code ends in a far jump back to 64-bit code, which stores
/// the results. Where it faults instead, a signal handler on its own stack notes the vector and sends the thread to the same exit.
///
/// Nothing is ever writable and executable: the code lies in a memfd that is mapped twice.
///
/// Source: SDM Vol. 3A, "IRET in 64-bit mode"; Vol. 2, FRSTOR, FNSAVE; System V ABI for x86-64.
final class HostProcessor {
    /// Why the host cannot be asked, in one sentence.
    struct Unavailable: Error {
        let reason: String
    }

    /// The windows below 64 KiB exist: vm.mmap_min_addr is low enough, or we may map there.
    let hasLow: Bool
    /// The two descriptors of `Layout` are in the LDT.
    let has16: Bool
    let data: UnsafeMutableRawPointer
    /// The writable view of the code.
    let codeView: UnsafeMutableRawPointer
    private let registers: UnsafeMutableRawPointer
    private var mappings: [(UnsafeMutableRawPointer, Int)] = []
    private var previous: [(Int32, sigaction)] = []
    /// The same for the handler, which knows no instance.
    nonisolated(unsafe) private static var replaced: [Int32: sigaction] = [:]
    private var previousStack = stack_t()
    private let signalStack: UnsafeMutableRawPointer
    private static let signalStackBytes = 256 << 10

    /// Displacements in the page of registers.
    private enum At {
        static let eflags = 0x20, eip = 0x24
        static let out = 0x40, outFlags = 0x60, rsp = 0x68, mxcsr = 0x70, fcw = 0x74, outSelectors = 0x78
        static let faulted = 0x80, vector = 0x88, errorCode = 0x90, cr2 = 0x98, faultEIP = 0xA0, faultFlags = 0xA8, faultSelectors = 0xB0
        static let x87 = 0x100, outX87 = 0x180
    }
    private static let exitOffset = 0x200

    init() throws(Unavailable) {
        #if !arch(x86_64)
            throw Unavailable(reason: "the host is not x86-64")
        #else
            guard let create = dlsym(nil, "memfd_create") else { throw Unavailable(reason: "memfd_create is missing") }
            typealias Create = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
            let makeFile = unsafeBitCast(create, to: Create.self)
            func file(_ bytes: Int) throws(Unavailable) -> Int32 {
                let descriptor = "differential".withCString { makeFile($0, 1) }
                guard descriptor >= 0, ftruncate(descriptor, bytes) == 0 else { throw Unavailable(reason: "no memory file could be made") }
                return descriptor
            }
            let fixed: Int32 = 0x10_0000  // MAP_FIXED_NOREPLACE, Linux 4.17
            let populate: Int32 = 0x8000  // MAP_POPULATE: a page that was never touched would fault with P = 0
            var made: [(UnsafeMutableRawPointer, Int)] = []
            func map(_ descriptor: Int32, _ bytes: Int, _ protection: Int32, _ address: UInt?) -> UnsafeMutableRawPointer? {
                let wanted = address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
                let p = mmap(wanted, bytes, protection, MAP_SHARED | populate | (address == nil ? 0 : fixed), descriptor, 0)
                guard let p, p != MAP_FAILED else { return nil }
                if let wanted, p != wanted {
                    munmap(p, bytes)
                    return nil
                }
                made.append((p, bytes))
                return p
            }
            let dataFile = try file(Layout.dataBytes)
            let codeFile = try file(Layout.codeBytes)
            let thunkFile = try file(4096)
            let registerFile = try file(4096)
            defer { for descriptor in [dataFile, codeFile, thunkFile, registerFile] { close(descriptor) } }
            let rw = PROT_READ | PROT_WRITE
            let rx = PROT_READ | PROT_EXEC
            guard let data = map(dataFile, Layout.dataBytes, rw, UInt(Layout.high + Layout.data)),
                let codeView = map(codeFile, Layout.codeBytes, rw, nil),
                map(codeFile, Layout.codeBytes, rx, UInt(Layout.high + Layout.code)) != nil,
                let thunkView = map(thunkFile, 4096, rw, nil),
                map(thunkFile, 4096, rx, Layout.thunk) != nil,
                let registers = map(registerFile, 4096, rw, Layout.registers)
            else {
                for (p, bytes) in made { munmap(p, bytes) }
                throw Unavailable(reason: "the addresses of the test could not be mapped")
            }
            hasLow =
                map(dataFile, Layout.dataBytes, rw, UInt(Layout.data)) != nil
                && map(codeFile, Layout.codeBytes, rx, UInt(Layout.code)) != nil
            self.data = data
            self.codeView = codeView
            self.registers = registers
            mappings = made
            let entry = HostProcessor.entryCode()
            let exit = HostProcessor.exitCode()
            precondition(entry.count <= HostProcessor.exitOffset)
            for (n, byte) in entry.enumerated() { thunkView.storeBytes(of: byte, toByteOffset: n, as: UInt8.self) }
            for (n, byte) in exit.enumerated() {
                thunkView.storeBytes(of: byte, toByteOffset: HostProcessor.exitOffset + n, as: UInt8.self)
            }
            has16 = HostProcessor.setDescriptor(0, code: true) && HostProcessor.setDescriptor(1, code: false)
            signalStack = .allocate(byteCount: HostProcessor.signalStackBytes, alignment: 64)
            installHandlers()
        #endif
    }

    deinit {
        for (signal, action) in previous {
            var action = action
            sigaction(signal, &action, nil)
        }
        sigaltstack(&previousStack, nil)
        signalStack.deallocate()
        for (p, bytes) in mappings { munmap(p, bytes) }
    }

    /// modify_ldt(1, …): a 16-bit segment of 64 KiB based at the high window. arch/x86/include/uapi/asm/ldt.h.
    private static func setDescriptor(_ entry: UInt32, code: Bool) -> Bool {
        // seg_32bit 0, contents 2 (code) or 0 (data) in bits 1–2, read_exec_only 0.
        let description: [UInt32] = [entry, Layout.high, 0xFFFF, code ? 2 << 1 : 0]
        typealias SystemCall = @convention(c) (Int, Int, UnsafeRawPointer, Int) -> Int
        guard let symbol = dlsym(nil, "syscall") else { return false }
        let call = unsafeBitCast(symbol, to: SystemCall.self)
        return description.withUnsafeBytes { call(154, 1, $0.baseAddress.unsafelyUnwrapped, 16) } == 0
    }

    // MARK: Thunk

    /// `opcode` with a RIP-relative operand at `at` of the page of registers; `start` is where the instruction lies.
    private static func relative(_ opcode: [UInt8], _ at: Int, _ start: Int) -> [UInt8] {
        let next = Int(Layout.thunk) + start + opcode.count + 4
        let distance = UInt32(bitPattern: Int32(Int(Layout.registers) + at - next))
        return opcode + (0..<4).map { UInt8(truncatingIfNeeded: distance >> UInt32(8 * $0)) }
    }

    private static func entryCode() -> [UInt8] {
        var code: [UInt8] = [0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x9C]  // push rbx rbp r12–r15, pushfq
        func add(_ opcode: [UInt8], _ at: Int) { code += relative(opcode, at, code.count) }
        add([0x48, 0x89, 0x25], At.rsp)
        add([0x0F, 0xAE, 0x1D], At.mxcsr)
        add([0xD9, 0x3D], At.fcw)
        add([0xDD, 0x25], At.x87)  // frstor
        code += [0xB8, UInt8(Layout.flat), 0, 0, 0, 0x8E, 0xD8, 0x8E, 0xC0]  // mov eax, flat; mov ds, eax; mov es, eax
        code += [0x6A, UInt8(Layout.flat)]
        for at in [4 * 4, At.eflags] {
            add([0x8B, 0x05], at)
            code += [0x50]
        }
        code += [0x6A, UInt8(Layout.code32)]
        add([0x8B, 0x05], At.eip)
        code += [0x50]
        for (register, opcode) in [(1, 0x0D), (2, 0x15), (3, 0x1D), (5, 0x2D), (6, 0x35), (7, 0x3D), (0, 0x05)] {
            add([0x8B, UInt8(opcode)], 4 * register)
        }
        code += [0x48, 0xCF]  // iretq
        return code
    }

    private static func exitCode() -> [UInt8] {
        var code: [UInt8] = []
        func add(_ opcode: [UInt8], _ at: Int) { code += relative(opcode, at, exitOffset + code.count) }
        for n in 0..<8 { add([0x89, UInt8(n << 3 | 5)], At.out + 4 * n) }
        for (n, opcode) in [0x05, 0x15, 0x1D].enumerated() { add([0x8C, UInt8(opcode)], At.outSelectors + 2 * n) }  // es ss ds
        add([0x48, 0x8B, 0x25], At.rsp)
        code += [0x9C]
        add([0x8F, 0x05], At.outFlags)
        add([0xDD, 0x35], At.outX87)  // fnsave
        add([0xD9, 0x2D], At.fcw)
        add([0x0F, 0xAE, 0x15], At.mxcsr)
        code += [0xB8, UInt8(Layout.flat), 0, 0, 0, 0x8E, 0xD0]  // mov eax, flat; mov ss, eax
        code += [0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0, 0x9D, 0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B, 0xC3]
        return code
    }

    /// The far jump that ends a test; 66 in front of it in 16-bit code.
    static func exitJump(wide: Bool) -> [UInt8] {
        let target = UInt32(Layout.thunk) + UInt32(exitOffset)
        let offset = (0..<4).map { UInt8(truncatingIfNeeded: target >> UInt32(8 * $0)) }
        return (wide ? [] : [0x66]) + [0xEA] + offset + [UInt8(Layout.code64), 0]
    }

    // MARK: Signals

    private func installHandlers() {
        var stack = stack_t()
        stack.ss_sp = signalStack
        stack.ss_size = HostProcessor.signalStackBytes
        sigaltstack(&stack, &previousStack)
        if previousStack.ss_sp == nil { previousStack.ss_flags = 2 }  // SS_DISABLE
        for signal in [SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS] {
            var action = sigaction()
            action.__sigaction_handler.sa_sigaction = { signal, info, context in HostProcessor.handle(signal, info, context) }
            action.sa_flags = Int32(truncatingIfNeeded: SA_SIGINFO) | SA_ONSTACK | SA_NODEFER
            var old = sigaction()
            sigaction(signal, &action, &old)
            previous.append((signal, old))
            HostProcessor.replaced[signal] = old
        }
    }

    /// Only loads and stores: it interrupts anything. `context` is a ucontext_t, whose gregs begin at byte 40:
    /// R8–R15, RDI RSI RBP RBX RDX RAX RCX RSP RIP EFL CSGSFS ERR TRAPNO OLDMASK CR2 (sys/ucontext.h).
    private static func handle(_ signal: Int32, _ info: UnsafeMutablePointer<siginfo_t>?, _ context: UnsafeMutableRawPointer?) {
        guard let context else { return }
        let g = context + 40
        let selectors = g.load(fromByteOffset: 8 * 18, as: UInt64.self)
        guard UInt16(truncatingIfNeeded: selectors) != Layout.code64, let r = UnsafeMutableRawPointer(bitPattern: Layout.registers) else {
            // A fault of another oracle in this process, or of the test program itself: that happens again, now without us.
            if let old = replaced[signal], let handler = old.__sigaction_handler.sa_sigaction { return handler(signal, info, context) }
            var action = sigaction()
            sigaction(signal, &action, nil)
            return
        }
        func keep(_ number: Int, _ at: Int) {
            r.storeBytes(of: g.load(fromByteOffset: 8 * number, as: UInt64.self), toByteOffset: at, as: UInt64.self)
        }
        r.storeBytes(of: 1, toByteOffset: At.faulted, as: UInt64.self)
        keep(20, At.vector)
        keep(19, At.errorCode)
        keep(22, At.cr2)
        keep(16, At.faultEIP)
        keep(17, At.faultFlags)
        keep(18, At.faultSelectors)
        g.storeBytes(of: UInt64(Layout.thunk) + UInt64(exitOffset), toByteOffset: 8 * 16, as: UInt64.self)
        g.storeBytes(of: UInt64(Layout.fixedFlags), toByteOffset: 8 * 17, as: UInt64.self)
        g.storeBytes(of: UInt64(Layout.flat) << 48 | UInt64(Layout.code64), toByteOffset: 8 * 18, as: UInt64.self)
    }

    // MARK: Running

    /// Runs the code at `start.eip` in the flat 32-bit segment until its exit jump or a fault.
    func run(_ start: MachineState) -> MachineState {
        for n in 0..<8 { registers.storeBytes(of: start.gpr[n], toByteOffset: 4 * n, as: UInt32.self) }
        registers.storeBytes(of: start.eflags, toByteOffset: At.eflags, as: UInt32.self)
        registers.storeBytes(of: start.eip, toByteOffset: At.eip, as: UInt32.self)
        registers.storeBytes(of: 0, toByteOffset: At.faulted, as: UInt64.self)
        for n in 0..<27 { registers.storeBytes(of: start.x87[n], toByteOffset: At.x87 + 4 * n, as: UInt32.self) }
        typealias Routine = @convention(c) () -> Void
        unsafeBitCast(Layout.thunk, to: Routine.self)()
        var end = MachineState()
        for n in 0..<8 { end.gpr[n] = registers.load(fromByteOffset: At.out + 4 * n, as: UInt32.self) }
        for n in 0..<27 { end.x87[n] = registers.load(fromByteOffset: At.outX87 + 4 * n, as: UInt32.self) }
        end.segments[0] = registers.load(fromByteOffset: At.outSelectors, as: UInt16.self)
        end.segments[3] = registers.load(fromByteOffset: At.outSelectors + 4, as: UInt16.self)
        if registers.load(fromByteOffset: At.faulted, as: UInt64.self) != 0 {
            end.vector = Int(registers.load(fromByteOffset: At.vector, as: UInt64.self))
            end.errorCode = registers.load(fromByteOffset: At.errorCode, as: UInt32.self)
            end.cr2 = registers.load(fromByteOffset: At.cr2, as: UInt32.self)
            end.eip = registers.load(fromByteOffset: At.faultEIP, as: UInt32.self)
            end.eflags = registers.load(fromByteOffset: At.faultFlags, as: UInt32.self)
            let selectors = registers.load(fromByteOffset: At.faultSelectors, as: UInt64.self)
            end.segments[1] = UInt16(truncatingIfNeeded: selectors)
            end.segments[2] = UInt16(truncatingIfNeeded: selectors >> 48)
        } else {
            end.eflags = registers.load(fromByteOffset: At.outFlags, as: UInt32.self)
            end.segments[2] = registers.load(fromByteOffset: At.outSelectors + 2, as: UInt16.self)
        }
        return end
    }
}
