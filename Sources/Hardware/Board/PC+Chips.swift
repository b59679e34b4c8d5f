import CPU
import Primitives

extension PC {
    /// Every chip of the board, in the order of firing, saving and showing. Adding one is a line here.
    static func chips(_ settings: BoardSettings, vram: GuestMemory.Block) -> [any Device] {
        var list: [any Device] = [
            PIC(), PIT(), DMA(), CMOSClock(epochSeconds: settings.rtcEpochSeconds), KeyboardController(), A20Gate(), ResetPort(),
            CoprocessorError(), LAPIC(),
        ]
        if settings.ioapic { list.append(IOAPIC()) }
        list += [HostBridge(), PIIX3(), IDE(), PowerManagement(), VGA(vram: vram), FDC(), Parallel()] as [any Device]
        for index in 0..<max(0, min(settings.serialPorts, 4)) { list.append(UART(index: index)) }
        list.append(firmwareConfiguration(settings))
        if !settings.debugConsolePorts.isEmpty { list.append(DebugPort(consoles: settings.debugConsolePorts)) }
        if let port = settings.debugExitPort { list.append(DebugExit(port: port)) }
        if settings.bootHook { list.append(BootHook()) }
        for index in 1..<max(settings.cpus, 1) { list.append(LAPIC(index: UInt8(index))) }
        return list + virtio(settings.virtio)
    }

    /// Each virtio device has a PCI slot of its own, whatever else is there: 4 console, 5 entropy, 6 balloon, 8–15 disks. INTA# of slot n
    /// arrives at PIRQ line (n - 1) & 3, see `PCIBus.pirq`.
    private static func virtio(_ equipment: BoardSettings.Virtio) -> [any Device] {
        var list: [any Device] = []
        if equipment.console { list.append(VirtioConsole(slot: 4)) }
        switch equipment.entropy {
        case .none: break
        case .seed(let seed): list.append(VirtioRNG(slot: 5, seed: seed))
        case .host: list.append(VirtioRNG(slot: 5, seed: nil))
        }
        if equipment.balloon { list.append(VirtioBalloon(slot: 6)) }
        for (index, bay) in Bay.virtioDisks.enumerated() where index < equipment.disks {
            list.append(VirtioBlock(slot: 8 + index, bay: bay, number: index + 1))
        }
        return list
    }

    private static func firmwareConfiguration(_ settings: BoardSettings) -> FWCfg {
        let low = UInt64(PhysicalLayout.lowRAMBytes(settings.ramMiB))
        let high = UInt64(PhysicalLayout.highRAMBytes(settings.ramMiB))
        var map: [(base: UInt64, length: UInt64, type: UInt32)] = [(0, low, 1)]
        if high > 0 { map.append((PhysicalLayout.fourGiB, high, 1)) }
        var files = settings.fwCfgFiles
        func offer(_ name: String, _ bytes: [UInt8]) { if files[name] == nil { files[name] = bytes } }
        offer("etc/boot-fail-wait", [0xFF, 0xFF, 0xFF, 0xFF])  // no bootable device: say so and wait, do not reboot
        // S3 and S4 off (bit 7), S4 type 2: for firmware that makes ACPI tables itself.
        offer("etc/system-states", [128, 0, 0, 1, 2, 128])
        let acpi = ACPITables(processors: settings.cpus, ioapic: settings.ioapic, lowRAMBytes: low, serialPorts: settings.serialPorts)
        let smbios = SMBIOS(processors: settings.cpus, model: settings.processor, ramMiB: settings.ramMiB)
        if settings.acpi { for (name, bytes) in acpi.files { offer(name, bytes) } }
        for (name, bytes) in smbios.files { offer(name, bytes) }
        if settings.bootHook {
            offer(BootROM.fileName, BootROM.image)
            offer("bootorder", Array("\(BootROM.bootOrderLine)\n\0".utf8))
        }
        var facts = FWCfg.Facts(ramBytes: UInt64(settings.ramMiB) << 20, processors: settings.cpus, e820: map)
        facts.hasIOAPIC = settings.ioapic
        return FWCfg(facts, files: files)
    }

    /// The equipment as CMOS RAM tells it to firmware.
    func writeCMOS() {
        var setup = CMOSSetup()
        setup.ramBelow4G = UInt64(PhysicalLayout.lowRAMBytes(settings.ramMiB))
        setup.ramAbove4G = UInt64(PhysicalLayout.highRAMBytes(settings.ramMiB))
        setup.floppyA = CMOSSetup.Floppy(rawValue: settings.floppyTypes.0) ?? .none
        setup.floppyB = CMOSSetup.Floppy(rawValue: settings.floppyTypes.1) ?? .none
        setup.bootOrder = settings.bootOrder
        setup.processors = settings.cpus
        setup.skipsFloppyCheck = false
        let bays: [Bay] = [.ide0Master, .ide0Slave, .ide1Master, .ide1Slave]
        setup.diskSectors = bays.map { bay in
            guard let medium = wires.media[bay], medium.sectorBytes == 512 else { return 0 }
            return medium.sectorCount
        }
        chip(place.rtc, CMOSClock.self) { $0.configure(setup) }
    }

    /// CMOS byte 0F: what firmware does after a reset of the processor alone. 0: a cold start.
    var shutdownCode: UInt8 { chip(place.rtc, CMOSClock.self) { $0[0x0F] } }

    /// Positions in the list of the chips that the wiring needs by type.
    struct Places {
        let pic, rtc, dma, keyboard, a20, coprocessor, hostBridge, piix3, ide, pm, vga: Int
        let ioapic: Int?
        /// One for each processor, in their order.
        let lapics: [Int]
        /// COM1–COM4.
        let serial: [Int]
        /// Virtio devices that the host side speaks to.
        let console, entropy, balloon: Int?
        /// A call of the chip may change what it drives without a line of its own.
        let settles: [Bool]

        init(_ devices: [any Device]) {
            func find<D: Device>(_ type: D.Type) -> Int {
                guard let position = devices.firstIndex(where: { $0 is D }) else {
                    preconditionFailure("the board's wiring needs a chip that is not in its list")
                }
                return position
            }
            pic = find(PIC.self)
            rtc = find(CMOSClock.self)
            dma = find(DMA.self)
            keyboard = find(KeyboardController.self)
            a20 = find(A20Gate.self)
            coprocessor = find(CoprocessorError.self)
            lapics = devices.indices.filter { devices[$0] is LAPIC }
            ioapic = devices.firstIndex { $0 is IOAPIC }
            hostBridge = find(HostBridge.self)
            piix3 = find(PIIX3.self)
            ide = find(IDE.self)
            pm = find(PowerManagement.self)
            vga = find(VGA.self)
            serial = devices.indices.filter { devices[$0] is UART }
            console = devices.firstIndex { $0 is VirtioConsole }
            entropy = devices.firstIndex { $0 is VirtioRNG }
            balloon = devices.firstIndex { $0 is VirtioBalloon }
            let settling = [pic] + [ioapic].compactMap { $0 } + lapics
            settles = devices.indices.map { settling.contains($0) }
        }
    }
}
